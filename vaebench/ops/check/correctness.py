"""Correctness of the fused operations on a device: values and gradients against float64.

Axes: K samples, S runs, B rows, D columns. Results are long rows of raw numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

import torch
from torch import Tensor

from vaebench import ops
from vaebench.ops.check.cases import OPERATIONS, Case, Tensors, make_inputs
from vaebench.ops.noise import Noise, normals

Row = dict[str, str | float | None]
Shape = tuple[int, int, int, int]
"""K, S, B, D."""

Op = Callable[[Tensors, Noise, int], Tensors]
"""(inputs, noise, K) -> results."""

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""Largest |error| / (1 + |value|): room for a few roundings, in bfloat16 for one at each step. The
gradients of the log-densities add K terms of the size of 1 / sigma."""

CHECKED_SHAPES = ((1, 1, 1, 1), (5, 2, 19, 64), (1, 3, 37, 20), (2, 3, 11, 100), (3, 2, 1, 1030))

CHECKED_ROWS = 256
"""How many rows, the last ones, are compared: all of a large case would take minutes in float64."""


@dataclass(frozen=True)
class Backend:
    """One way to do the operation. `counted`: its normals are those of vaebench.ops.noise."""

    op: Op
    counted: bool


def check_operations(
    device: str | torch.device,
    shapes: Iterable[Shape] = CHECKED_SHAPES,
    operations: Iterable[str] = tuple(OPERATIONS),
) -> list[Row]:
    """The error of the dispatching operations against float64: values and gradients, each dtype."""
    device = torch.device(device)
    dtypes = TOLERANCES if device.type == "cuda" else [torch.float32]
    cases = [
        Case(op, *shape, dtype=dtype, device=device)
        for op in operations
        for dtype in dtypes
        for shape in shapes
    ]
    return [row for case in cases for row in _check_rows(case)]


def dispatched(case: Case) -> Backend:
    """The public functions of `vaebench.ops`."""
    return Backend(
        lambda inputs, noise, K: case.operation.call(ops, inputs, noise, K), counted=True
    )


def gradients(case: Case, inputs: Tensors, results: Tensors, upstream: Tensors) -> Tensors:
    """The gradients to the inputs that have any, from those to the results that have any."""
    leaves = inputs[case.operation.num_fixed :]
    return torch.autograd.grad(results[: len(upstream)], leaves, upstream)


def upstream_of(case: Case, results: Tensors) -> Tensors:
    """Random gradients to the results: the same for every backend, whatever the layout."""
    reached = results[: len(results) - case.operation.num_free]
    return tuple(_normals(i, x.shape, x.device).to(x.dtype) for i, x in enumerate(reached))


@functools.lru_cache(maxsize=4)
def _normals(index: int, shape: torch.Size, device: torch.device) -> Tensor:
    """Random numbers, kept: to make them takes longer than many an operation."""
    generator = torch.Generator().manual_seed(index + 1)
    return torch.randn(shape, generator=generator).to(device)


def _errors(case: Case, backend: Backend) -> dict[str, float]:
    """Largest |error| / (1 + |value|) of each result and gradient, against float64."""
    inputs = make_inputs(case)
    results = backend.op(inputs, case.noise(), case.num_samples)
    upstream = upstream_of(case, results)
    got = [*results, *gradients(case, inputs, results, upstream)]
    axes = [*case.operation.results.values()]
    axes += [case.operation.input_axis] * len(case.operation.gradients)
    got = [_last_rows(case, x, axis) for x, axis in zip(got, axes, strict=True)]
    last = tuple(_last_rows(case, x, case.operation.input_axis) for x in inputs)
    want = _float64(case, backend, last, got[0], upstream)
    names = *case.operation.results, *case.operation.gradients
    return {
        name: float(((a - b).abs() / (1.0 + b.abs())).max())
        for name, a, b in zip(names, got, want, strict=True)
    }


def _last_rows(case: Case, x: Tensor, axis: int) -> Tensor:
    """The rows to compare, in float64 on the CPU."""
    count = min(CHECKED_ROWS, case.num_rows)
    return x.detach().narrow(axis, case.num_rows - count, count).double().cpu()


def _float64(
    case: Case, backend: Backend, inputs: Tensors, first: Tensor, upstream: Tensors
) -> Iterator[Tensor]:
    """Results and gradients of the last rows, by the plain formulas.

    Normals that are not counted are taken from the given z, which then is right by construction.
    """
    operation, count = case.operation, min(CHECKED_ROWS, case.num_rows)
    eps = torch.empty(0)
    if operation.draws and backend.counted:
        noise = case.noise(row=case.num_rows - count)
        eps = normals(noise, case.num_samples, count, case.num_columns).double()
    elif operation.draws:
        eps = (first - inputs[0]) * torch.exp(-0.5 * inputs[1])
    leaves = tuple(
        x.requires_grad_() if i >= operation.num_fixed else x for i, x in enumerate(inputs)
    )
    wanted = operation.formula(leaves, eps)
    reached = wanted[: len(wanted) - operation.num_free]
    axes = operation.results.values()
    last = [_last_rows(case, x, axis) for x, axis in zip(upstream, axes, strict=False)]
    slopes = torch.autograd.grad(reached, leaves[operation.num_fixed :], last)
    return (x.detach() for x in (*wanted, *slopes))


def problem(case: Case, backend: Backend) -> str | None:
    """Why this backend is not to be timed, or None."""
    try:
        errors = _errors(case, backend)
    except Exception as error:  # whatever keeps it from running belongs in its row
        return f"{type(error).__name__}: {error}".splitlines()[0]
    tolerance = TOLERANCES[case.dtype]
    wrong = [f"{name} is off by {e:.2g}" for name, e in errors.items() if not e <= tolerance]
    return f"check failed: {', '.join(wrong)}, allowed {tolerance:g}" if wrong else None


def _check_rows(case: Case) -> list[Row]:
    """A row for each result and gradient."""
    directions = dict.fromkeys(case.operation.results, "forward")
    directions |= dict.fromkeys(case.operation.gradients, "backward")
    name = "triton" if case.device.type == "cuda" else "cpu"
    try:
        errors: dict[str, float] | None = _errors(case, dispatched(case))
        status = ""
    except Exception as error:  # a GPU without Triton, say: that is the finding
        errors, status = None, f"failed: {type(error).__name__}: {error}".splitlines()[0]
    rows = []
    for quantity, direction in directions.items():
        value = None if errors is None else errors[quantity]
        judged = status if value is None else _judged(value, TOLERANCES[case.dtype])
        rows.append(row_of(case, name, direction, f"error_{quantity}", value, "1", judged))
    return rows


def _judged(error: float, tolerance: float) -> str:
    return "passed" if error <= tolerance else f"failed: allowed {tolerance:g}"


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
        "op": case.op,
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
