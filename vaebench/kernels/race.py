"""Speed of the fused operations on a device: the same work done in several ways, in turns.

A slow moment of the machine meets all of them. What fails its comparison with float64 is not timed,
and what cannot run here has a row that says why. Times in ms, traffic in bytes, bandwidth in GB/s
(1e9).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from vaebench import densities
from vaebench.kernels.gate import Backend, Case, Op, Row, case_noise, make_tensors, problem, row_of
from vaebench.noise import Noise

Samples = Mapping[str, list[tuple[float, float]]]
"""Forward and backward time in ms of each turn, by backend."""

SIZES = ((128, 20), (512, 64), (4096, 128), (65536, 256))

LEAST_TURNS = 5

FLUSH_BYTES = 256 << 20
"""Written before each sample on a GPU: it empties the caches, and launches queue up behind it."""


def race(
    device: str | torch.device,
    sizes: Iterable[tuple[int, int]] = SIZES,
    *,
    dtype: torch.dtype = torch.float32,
    num_samples: int = 1,
    compiled: bool = False,
    turns: int = 30,
    seconds: float = 20.0,
) -> list[Row]:
    """Times of one run at each (rows, columns) by every backend, forward and backward.

    Each size gets `turns` turns, fewer once `seconds` have passed. `compiled` adds torch.compile,
    which takes its time and needs a C++ compiler on a CPU. On a CPU, one thread: two threads on
    busy cores hold each other up for milliseconds.
    """
    device = torch.device(device)
    rows: list[Row] = []
    with _one_thread():
        for num_rows, num_columns in sizes:
            case = Case(num_samples, 1, num_rows, num_columns, dtype, device)
            rows += _race_rows(case, compiled, turns, seconds)
    return rows


def _eager(mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int) -> tuple[Tensor, Tensor]:
    """What one would write without this package: normals from the device's own generator."""
    eps = torch.randn(num_samples, *mu.shape, dtype=mu.dtype, device=mu.device)
    return densities.reparameterise(mu, log_var, eps), densities.gaussian_kl(mu, log_var)


def _compile_eager() -> Op:
    torch.compiler.reset()  # or the ninth graph of one function would silently stay eager
    return torch.compile(_eager, dynamic=False)


def _triton(mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int) -> tuple[Tensor, Tensor]:
    from vaebench.kernels import reparam_kl  # imports triton, which CPU machines may lack

    return reparam_kl.reparameterise_kl(mu, log_var, noise, num_samples)


def _backends(device: torch.device, compiled: bool) -> dict[str, Backend | str]:
    """The contestants, or why they do not take part. `eager` is what the others are compared to."""
    return {
        "eager": Backend(_eager, counted=False),
        "compiled": Backend(_compile_eager(), counted=False) if compiled else "not asked for",
        "reference": Backend(densities.reparameterise_kl, counted=True),
        "triton": Backend(_triton, counted=True) if device.type == "cuda" else "no CUDA device",
    }


def _race_rows(case: Case, compiled: bool, turns: int, seconds: float) -> list[Row]:
    rows: list[Row] = []
    runners: dict[str, Backend] = {}
    for name, backend in _backends(case.device, compiled).items():
        reason = backend if isinstance(backend, str) else problem(case, backend)
        if reason:
            rows += _refusal_rows(case, name, reason)
        elif isinstance(backend, Backend):
            runners[name] = backend
    samples = _take_turns(case, runners, turns, seconds)
    return rows + [row for name in samples for row in _time_rows(case, name, samples)]


def _take_turns(
    case: Case, backends: Mapping[str, Backend], turns: int, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """Samples of every backend; each turn starts with another one, and the first is a warm-up."""
    tensors = make_tensors(case)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    names = list(backends)
    end = time.monotonic() + seconds
    for turn in range(turns + 1):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            sample = _sample(case, backends[name].op, tensors, case_noise(case, step=turn))
            if turn:
                samples[name].append(sample)
        if turn >= LEAST_TURNS and time.monotonic() > end:
            break
    return samples


def _sample(
    case: Case, op: Op, tensors: tuple[Tensor, Tensor, Tensor, Tensor], noise: Noise
) -> tuple[float, float]:
    """Time of one forward and one backward pass, in ms."""
    mu, log_var, dz, dkl = tensors
    out, forward = _timed(case.device, lambda: op(mu, log_var, noise, case.num_samples))
    upstream = dz, dkl.to(out[1].dtype)
    _, backward = _timed(
        case.device, lambda: torch.autograd.grad(out, (mu, log_var), grad_outputs=upstream)
    )
    return forward, backward


def _timed(
    device: torch.device, call: Callable[[], tuple[Tensor, ...]]
) -> tuple[tuple[Tensor, ...], float]:
    """The result and the time in ms: of the wall on a CPU, of the device's stream on a GPU."""
    if device.type != "cuda":
        start = time.perf_counter()
        result = call()
        return result, 1e3 * (time.perf_counter() - start)
    with torch.cuda.device(device):
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        torch.zeros(FLUSH_BYTES, dtype=torch.uint8, device=device)
        begin.record()
        result = call()
        end.record()
        torch.cuda.synchronize()
    return result, float(begin.elapsed_time(end))


def _time_rows(case: Case, name: str, samples: Samples) -> list[Row]:
    """Median, spread and mean, traffic, bandwidth, and the speed-up over eager turn by turn.

    The mean counts what a median leaves out: the reference makes the normals of many steps at once.
    """
    forward, backward = np.array(samples[name]).T
    times = {"forward": forward, "backward": backward, "both": forward + backward}
    traffic = {d: case.traffic(d) for d in ("forward", "backward")}
    traffic["both"] = sum(traffic.values())
    rows = []
    for direction, ms in times.items():
        low, median, high = np.quantile(ms, [0.2, 0.5, 0.8])
        values = [
            ("time_median", median, "ms"),
            ("time_q20", low, "ms"),
            ("time_q80", high, "ms"),
            ("time_mean", ms.mean(), "ms"),
            ("traffic", traffic[direction], "B"),
            ("bandwidth", traffic[direction] / (1e6 * median), "GB/s"),
        ]
        if "eager" in samples:
            eager = np.array(samples["eager"]).T
            base = {"forward": eager[0], "backward": eager[1], "both": eager.sum(0)}[direction]
            values.append(("speedup_over_eager", np.median(base / ms), "x"))
        rows += [row_of(case, name, direction, m, float(v), u, "measured") for m, v, u in values]
    return rows


def _refusal_rows(case: Case, name: str, reason: str) -> list[Row]:
    return [
        row_of(case, name, direction, "time_median", None, "ms", f"not measured: {reason}")
        for direction in ("forward", "backward", "both")
    ]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
