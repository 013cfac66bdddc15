"""Correctness of the fused operations on a device: values and gradients against float64.

Axes: K samples, S runs, B rows, D columns. Results are long rows of raw numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

import torch
from torch import Tensor

from vaebench import densities, kernels
from vaebench.noise import Noise, key, normals

Row = dict[str, str | float | None]
Shape = tuple[int, int, int, int]
"""K, S, B, D."""

Op = Callable[[Tensor, Tensor, Noise, int], tuple[Tensor, Tensor]]
"""(mu [S, B, D], log_var [S, B, D], noise, K) -> (z [K, S, B, D], kl [S, B])."""

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""Largest |error| / (1 + |value|): room for a few roundings, in bfloat16 for one at each step."""

GATE_SHAPES = ((1, 1, 1, 1), (5, 2, 19, 64), (1, 3, 37, 20), (2, 3, 11, 100), (3, 2, 1, 1030))

CHECKED_ROWS = 256
"""How many rows, the last ones, are compared: all of a large case would take minutes in float64."""


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


def _dispatched(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int
) -> tuple[Tensor, Tensor]:
    return kernels.reparameterise_kl(mu, log_var, noise, num_samples)


def make_tensors(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """mu, log_var (halves of one tensor, as an encoder makes them), and gradients to z and kl."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(case.device, case.dtype)

    K, S, B, D = case.num_samples, case.num_runs, case.num_rows, case.num_columns
    mu, log_var = draw(S, B, 2 * D).chunk(2, -1)
    return mu.requires_grad_(), log_var.requires_grad_(), draw(K, S, B, D), draw(S, B)


def case_noise(case: Case, step: int = 0) -> Noise:
    return Noise(tuple(key("timing", run) for run in range(case.num_runs)), step=step)


def _errors(case: Case, backend: Backend) -> dict[str, float]:
    """Largest |error| / (1 + |value|) of z, kl and the two gradients, against float64."""
    tensors = mu, log_var, dz, dkl = make_tensors(case)
    z, kl = backend.op(mu, log_var, case_noise(case), case.num_samples)
    gradients = torch.autograd.grad((z, kl), (mu, log_var), (dz, dkl.to(kl.dtype)))
    got = [_last_rows(case, x) for x in (z, kl, *gradients)]
    want = _float64(case, backend, got[0], *(_last_rows(case, x) for x in tensors))
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
    case: Case, backend: Backend, z: Tensor, mu: Tensor, log_var: Tensor, dz: Tensor, dkl: Tensor
) -> list[Tensor]:
    """z, kl, dmu and dlog_var of the last rows.

    Normals that are not counted are taken from the given z, which then is right by construction.
    """
    eps = (z - mu) * torch.exp(-0.5 * log_var)
    if backend.counted:
        noise = case_noise(case).at(row=case.num_rows - mu.shape[1])
        eps = normals(noise, case.num_samples, mu.shape[1], case.num_columns).double()
    leaves = mu.requires_grad_(), log_var.requires_grad_()
    out = densities.reparameterise(mu, log_var, eps), densities.gaussian_kl(mu, log_var)
    return [x.detach() for x in (*out, *torch.autograd.grad(out, leaves, (dz, dkl)))]


def problem(case: Case, backend: Backend) -> str | None:
    """Why this backend is not to be timed, or None."""
    try:
        errors = _errors(case, backend)
    except Exception as error:  # whatever keeps it from running belongs in its row
        return f"{type(error).__name__}: {error}".splitlines()[0]
    tolerance = TOLERANCES[case.dtype]
    wrong = [f"{name} is off by {e:.2g}" for name, e in errors.items() if not e <= tolerance]
    return f"gate failed: {', '.join(wrong)}, allowed {tolerance:g}" if wrong else None


def _gate_rows(case: Case, name: str, backend: Backend) -> list[Row]:
    directions = {"z": "forward", "kl": "forward", "dmu": "backward", "dlog_var": "backward"}
    tolerance = TOLERANCES[case.dtype]
    try:
        errors = _errors(case, backend)
    except Exception as error:  # a GPU without Triton, say: that is the finding
        status = f"failed: {type(error).__name__}: {error}".splitlines()[0]
        return [
            row_of(case, name, d, f"error_{q}", None, "1", status) for q, d in directions.items()
        ]
    return [
        row_of(
            case, name, directions[quantity], f"error_{quantity}", error, "1",
            "passed" if error <= tolerance else f"failed: allowed {tolerance:g}",
        )
        for quantity, error in errors.items()
    ]  # fmt: skip


def row_of(
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
        **environment_of(case.device),
    }


def environment_of(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    try:
        triton = metadata.version("triton")
    except metadata.PackageNotFoundError:
        triton = "not installed"
    return {"device": name, "torch": str(torch.__version__), "triton": triton}
