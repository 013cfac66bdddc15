"""Speed of the fused operations on a device: the same work done in several ways, in turns.

A slow moment of the machine meets all of them. What fails its comparison with float64 is not timed,
and what cannot run here has a row that says why. Times in ms, traffic in bytes, bandwidth in GB/s
(1e9).
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.timing import threads
from vaebench.ops import densities
from vaebench.ops.check.cases import OPERATIONS, Case, Tensors, make_inputs
from vaebench.ops.check.correctness import Backend, Op, Row, gradients, problem, row_of, upstream_of
from vaebench.ops.noise import Noise

Samples = Mapping[str, list[tuple[float, float]]]
"""Forward and backward time in ms of each turn, by backend."""

SIZES = ((128, 20), (512, 64), (4096, 128), (65536, 256))
"""Rows and columns."""
SAMPLES = (1, 50)

MOST_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 30}
"""Elements of the largest tensor of a case: a CPU would take minutes, a GPU has no room."""

LEAST_TURNS = 5

FLUSH_BYTES = 256 << 20
"""Written before each sample on a GPU: it empties the caches, and launches queue up behind it."""


def time_operations(
    device: str | torch.device,
    sizes: Iterable[tuple[int, int]] = SIZES,
    *,
    operations: Iterable[str] = tuple(OPERATIONS),
    dtype: torch.dtype = torch.float32,
    samples: Iterable[int] = SAMPLES,
    compiled: bool = False,
    turns: int = 30,
    seconds: float = 2.0,
) -> list[Row]:
    """Times of one run by every backend, forward and backward, at each size and number of samples.

    Each case gets `turns` turns, fewer once `seconds` have passed. `compiled` adds torch.compile,
    which takes its time and needs a C++ compiler on a CPU. On a CPU, one thread: two threads on
    busy cores hold each other up for milliseconds.
    """
    device = torch.device(device)
    rows: list[Row] = []
    with threads(1):
        copy = copy_bandwidth(device)
        for op, size, num_samples in itertools.product(operations, sizes, samples):
            case = Case(op, num_samples, 1, *size, dtype, device)
            rows += _timed_rows(case, compiled, turns, seconds, copy)
    return rows


def copy_bandwidth(device: torch.device, num_bytes: int = 1 << 28) -> float:
    """What a plain copy within the device's memory achieves, read and written, in GB/s."""
    num_bytes = num_bytes if device.type == "cuda" else num_bytes >> 2
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [_timed(device, lambda: (target.copy_(source),))[1] for _ in range(12)][2:]
    return 2 * num_bytes / (1e6 * float(np.median(times)))


def _eager(case: Case) -> Op:
    """What one would write without this package: normals from the device's own generator."""

    def op(inputs: Tensors, noise: Noise, num_samples: int) -> Tensors:
        eps = torch.empty(0)
        if case.operation.draws:
            like = inputs[0]
            eps = torch.randn(num_samples, *like.shape, dtype=like.dtype, device=like.device)
        return case.operation.formula(inputs, eps)

    return op


def _compile_eager(case: Case) -> Op:
    torch.compiler.reset()  # or the ninth graph of one function would silently stay eager
    return torch.compile(_eager(case), dynamic=False)


def _in(case: Case, module: ModuleType) -> Op:
    return lambda inputs, noise, num_samples: case.operation.call(
        module, inputs, noise, num_samples
    )


def _triton(case: Case) -> Op:
    from vaebench.ops import gpu as fused  # imports triton, which CPU machines may lack

    return _in(case, fused)


def _backends(case: Case, compiled: bool) -> dict[str, Backend | str]:
    """The backends, or why one is not timed. `eager` is what the others are compared to."""
    plain = not case.operation.draws
    on_gpu = case.device.type == "cuda"
    return {
        "eager": Backend(_eager(case), counted=plain),
        "compiled": Backend(_compile_eager(case), counted=plain) if compiled else "not asked for",
        "reference": Backend(_in(case, densities), counted=True),
        "cpu": "a GPU" if on_gpu else Backend(_in(case, ops), counted=True),
        "triton": Backend(_triton(case), counted=True) if on_gpu else "no CUDA device",
    }


def _timed_rows(case: Case, compiled: bool, turns: int, seconds: float, copy: float) -> list[Row]:
    rows: list[Row] = []
    runners: dict[str, Backend] = {}
    too_large = case.num_elements > MOST_ELEMENTS[case.device.type]
    for name, backend in _backends(case, compiled and not too_large).items():
        reason = backend if isinstance(backend, str) else None
        if too_large and not reason:
            reason = f"too large for a {case.device.type}"
        elif isinstance(backend, Backend):
            reason = problem(case, backend)
        if reason:
            rows += _refusal_rows(case, name, reason)
        elif isinstance(backend, Backend):
            runners[name] = backend
    samples, peaks = _take_turns(case, runners, turns, seconds)
    for name in samples:
        rows += _time_rows(case, name, samples, copy)
        if peak := peaks[name]:
            rows.append(row_of(case, name, "both", "peak_memory", peak, "B", "measured"))
    return rows


def _take_turns(
    case: Case, backends: Mapping[str, Backend], turns: int, seconds: float
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, int]]:
    """Samples of every backend and its peak memory in bytes (0 on a CPU, which counts none).

    Each turn starts with another backend, and the first turn is a warm-up.
    """
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    peaks = dict.fromkeys(backends, 0)
    if not backends:
        return samples, peaks
    inputs = make_inputs(case)
    names = list(backends)
    end = time.monotonic() + seconds
    for turn in range(turns + 1):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            sample, peak = _sample(case, backends[name].op, inputs, case.noise(step=turn))
            peaks[name] = max(peaks[name], peak)
            if turn:
                samples[name].append(sample)
        if turn >= LEAST_TURNS and time.monotonic() > end:
            break
    return samples, peaks


def _sample(case: Case, op: Op, inputs: Tensors, noise: Noise) -> tuple[tuple[float, float], int]:
    """Time of one forward and one backward pass, in ms, and what they allocated at the most."""
    on_gpu = case.device.type == "cuda"
    before = 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(case.device)
        before = torch.cuda.memory_allocated(case.device)
    out, forward = _timed(case.device, lambda: op(inputs, noise, case.num_samples))
    upstream = upstream_of(case, out)
    _, backward = _timed(case.device, lambda: gradients(case, inputs, out, upstream))
    peak = torch.cuda.max_memory_allocated(case.device) - before if on_gpu else 0
    return (forward, backward), peak


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
        _flushed(device).zero_()
        begin.record()
        result = call()
        end.record()
        torch.cuda.synchronize()
    return result, float(begin.elapsed_time(end))


@functools.lru_cache(maxsize=8)
def _flushed(device: torch.device) -> Tensor:
    """Kept, so that it is no part of what an operation allocates."""
    return torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=device)


def _time_rows(case: Case, name: str, samples: Samples, copy: float) -> list[Row]:
    """Median, spread and mean, traffic, bandwidth, and the speed-up over eager turn by turn.

    `copy` is the bandwidth of a plain copy, in GB/s.

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
            ("bandwidth_of_copy", traffic[direction] / (1e6 * median) / copy, "1"),
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
