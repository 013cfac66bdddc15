"""Correctness and speed of the fused operations on a device, as long rows of raw numbers.

`gate` compares results with float64; `race` times the same operation done in several ways, in
turns, so that a slow moment of the machine meets all of them. What fails its comparison is not
timed, and what cannot run here has a row that says why.

Axes: K samples, S runs, B rows, D columns. Times in ms, traffic in bytes, bandwidth in GB/s (1e9).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch
from torch import Tensor

from vaebench import densities, kernels
from vaebench.noise import Noise, key, normals

Row = dict[str, str | float | None]
Shape = tuple[int, int, int, int]
"""K, S, B, D."""

Samples = Mapping[str, list[tuple[float, float]]]
"""Forward and backward time in ms of each turn, by backend."""

Op = Callable[[Tensor, Tensor, Noise, int], tuple[Tensor, Tensor]]
"""(mu [S, B, D], log_var [S, B, D], noise, K) -> (z [K, S, B, D], kl [S, B])."""

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""Largest |error| / (1 + |value|): room for a few roundings, in bfloat16 for one at each step."""

GATE_SHAPES = ((1, 1, 1, 1), (5, 2, 19, 64), (1, 3, 37, 20), (2, 3, 11, 100), (3, 2, 1, 1030))
SIZES = ((128, 20), (512, 64), (4096, 128), (65536, 256))

CHECKED_ROWS = 256
"""How many rows, the last ones, are compared: all of a large case would take minutes in float64."""

LEAST_TURNS = 5

FLUSH_BYTES = 256 << 20
"""Written before each sample on a GPU: it empties the caches, and launches queue up behind it."""


@dataclass(frozen=True)
class Case:
    """One size of the operation."""

    num_samples: int
    num_runs: int
    num_rows: int
    num_columns: int
    dtype: torch.dtype
    device: torch.device

    @property
    def size(self) -> str:
        """As K x S x B x D."""
        axes = self.num_samples, self.num_runs, self.num_rows, self.num_columns
        return "x".join(map(str, axes))

    def traffic(self, direction: str) -> int:
        """The fewest bytes to move: each tensor read or written once, and one KL for each row."""
        rows = self.num_runs * self.num_rows
        tensors = {"forward": 2 + self.num_samples, "backward": 4 + self.num_samples}
        return rows * (tensors[direction] * self.num_columns * self.dtype.itemsize + 4)


@dataclass(frozen=True)
class Backend:
    """One way to do the operation. `counted`: its normals are those of vaebench.noise."""

    op: Op
    counted: bool


def gate(device: str | torch.device, shapes: Iterable[Shape] = GATE_SHAPES) -> list[Row]:
    """The error of the dispatching operation against float64: values and gradients, each dtype."""
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    backend = Backend(_dispatched, counted=True)
    name = "triton" if on_gpu else "reference"
    dtypes = TOLERANCES if on_gpu else [torch.float32]
    cases = [Case(*shape, dtype=dtype, device=device) for dtype in dtypes for shape in shapes]
    return [row for case in cases for row in _gate_rows(case, name, backend)]


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


def _dispatched(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int
) -> tuple[Tensor, Tensor]:
    return kernels.reparameterise_kl(mu, log_var, noise, num_samples)


def _eager(mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int) -> tuple[Tensor, Tensor]:
    """What one would write without this package: normals from the device's own generator."""
    eps = torch.randn(num_samples, *mu.shape, dtype=mu.dtype, device=mu.device)
    return densities.reparameterise(mu, log_var, eps), densities.gaussian_kl(mu, log_var)


def _triton(mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int) -> tuple[Tensor, Tensor]:
    from vaebench.kernels import reparam_kl  # imports triton, which CPU machines may lack

    return reparam_kl.reparameterise_kl(mu, log_var, noise, num_samples)


def _backends(device: torch.device, compiled: bool) -> dict[str, Backend | str]:
    """The contestants, or why they do not take part. `eager` is what the others are compared to."""
    torch.compiler.reset()  # or the ninth graph of one function would silently stay eager
    compiled_op: Op = torch.compile(_eager, dynamic=False)
    return {
        "eager": Backend(_eager, counted=False),
        "compiled": Backend(compiled_op, counted=False) if compiled else "not asked for",
        "reference": Backend(densities.reparameterise_kl, counted=True),
        "triton": Backend(_triton, counted=True) if device.type == "cuda" else "no CUDA device",
    }


def _race_rows(case: Case, compiled: bool, turns: int, seconds: float) -> list[Row]:
    rows: list[Row] = []
    runners: dict[str, Backend] = {}
    for name, backend in _backends(case.device, compiled).items():
        reason = backend if isinstance(backend, str) else _problem(case, backend)
        if reason:
            rows += _refusal_rows(case, name, reason)
        elif isinstance(backend, Backend):
            runners[name] = backend
    samples = _take_turns(case, runners, turns, seconds)
    return rows + [row for name in samples for row in _time_rows(case, name, samples)]


def _tensors(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """mu, log_var (halves of one tensor, as an encoder makes them), and gradients to z and kl."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(case.device, case.dtype)

    K, S, B, D = case.num_samples, case.num_runs, case.num_rows, case.num_columns
    mu, log_var = draw(S, B, 2 * D).chunk(2, -1)
    return mu.requires_grad_(), log_var.requires_grad_(), draw(K, S, B, D), draw(S, B)


def _noise(case: Case, step: int = 0) -> Noise:
    return Noise(tuple(key("timing", run) for run in range(case.num_runs)), step=step)


def _errors(case: Case, backend: Backend) -> dict[str, float]:
    """Largest |error| / (1 + |value|) of z, kl and the two gradients, against float64."""
    tensors = mu, log_var, dz, dkl = _tensors(case)
    z, kl = backend.op(mu, log_var, _noise(case), case.num_samples)
    gradients = torch.autograd.grad((z, kl), (mu, log_var), (dz, dkl.to(kl.dtype)))
    got = [_last_rows(case, x) for x in (z, kl, *gradients)]
    want = _float64(case, backend, *(_last_rows(case, x) for x in tensors), got[0])
    return {
        name: float(((a - b).abs() / (1.0 + b.abs())).max())
        for name, a, b in zip(("z", "kl", "dmu", "dlog_var"), got, want, strict=True)
    }


def _last_rows(case: Case, x: Tensor) -> Tensor:
    """The rows to compare, in float64: of [K, S, B, D], [S, B, D] or [S, B]."""
    axis = 2 if x.ndim == 4 else 1
    count = min(CHECKED_ROWS, case.num_rows)
    return x.detach().narrow(axis, case.num_rows - count, count).double().cpu()


def _float64(
    case: Case, backend: Backend, mu: Tensor, log_var: Tensor, dz: Tensor, dkl: Tensor, z: Tensor
) -> list[Tensor]:
    """z, kl, dmu and dlog_var of the last rows.

    Normals that are not counted are taken from the given z, which then is right by construction.
    """
    eps = (z - mu) * torch.exp(-0.5 * log_var)
    if backend.counted:
        noise = _noise(case).at(row=case.num_rows - mu.shape[1])
        eps = normals(noise, case.num_samples, mu.shape[1], case.num_columns).double()
    leaves = mu.requires_grad_(), log_var.requires_grad_()
    out = densities.reparameterise(mu, log_var, eps), densities.gaussian_kl(mu, log_var)
    return [x.detach() for x in (*out, *torch.autograd.grad(out, leaves, (dz, dkl)))]


def _problem(case: Case, backend: Backend) -> str | None:
    """Why this backend is not to be timed, or None."""
    try:
        errors = _errors(case, backend)
    except Exception as error:  # whatever keeps it from running belongs in its row
        return f"{type(error).__name__}: {error}".splitlines()[0]
    tolerance = TOLERANCES[case.dtype]
    wrong = [f"{name} is off by {e:.2g}" for name, e in errors.items() if not e <= tolerance]
    return f"gate failed: {', '.join(wrong)}, allowed {tolerance:g}" if wrong else None


def _take_turns(
    case: Case, backends: Mapping[str, Backend], turns: int, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """Samples of every backend; each turn starts with another one, and the first is a warm-up."""
    tensors = _tensors(case)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    names = list(backends)
    end = time.monotonic() + seconds
    for turn in range(turns + 1):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            sample = _sample(case, backends[name].op, tensors, _noise(case, step=turn))
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
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.zeros(FLUSH_BYTES, dtype=torch.uint8, device=device)
        begin.record()
        result = call()
        end.record()
        torch.cuda.synchronize()
    return result, float(begin.elapsed_time(end))


def _gate_rows(case: Case, name: str, backend: Backend) -> list[Row]:
    directions = {"z": "forward", "kl": "forward", "dmu": "backward", "dlog_var": "backward"}
    tolerance = TOLERANCES[case.dtype]
    try:
        errors = _errors(case, backend)
    except Exception as error:  # a GPU without Triton, say: that is the finding
        status = f"failed: {type(error).__name__}: {error}".splitlines()[0]
        return [_row(case, name, d, f"error_{q}", None, "1", status) for q, d in directions.items()]
    return [
        _row(
            case, name, directions[quantity], f"error_{quantity}", error, "1",
            "passed" if error <= tolerance else f"failed: allowed {tolerance:g}",
        )
        for quantity, error in errors.items()
    ]  # fmt: skip


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
        rows += [_row(case, name, direction, m, float(v), u, "measured") for m, v, u in values]
    return rows


def _refusal_rows(case: Case, name: str, reason: str) -> list[Row]:
    return [
        _row(case, name, direction, "time_median", None, "ms", f"not measured: {reason}")
        for direction in ("forward", "backward", "both")
    ]


def _row(
    case: Case,
    backend: str,
    direction: str,
    metric: str,
    value: float | None,
    unit: str,
    status: str,
) -> Row:
    return {
        "op": "reparameterise_kl",
        "size": case.size,
        "dtype": str(case.dtype).removeprefix("torch."),
        "backend": backend,
        "direction": direction,
        "metric": metric,
        "value": value,
        "unit": unit,
        "status": status,
        **_environment(case.device),
    }


def _environment(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    try:
        triton = metadata.version("triton")
    except metadata.PackageNotFoundError:
        triton = "not installed"
    return {"device": name, "torch": str(torch.__version__), "triton": triton}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
