"""Importance weighting over K samples in one Triton kernel, forward and backward.

    bound = log (1/K) sum_k exp(log_w_k),    weight_k = exp(log_w_k) / sum_j exp(log_w_j),
    ess = 1 / sum_k weight_k^2,              d bound / d log_w_k = weight_k

(Burda et al. 2016, eq. 8 and section 3). Weights and effective sample size carry no gradient.

Axes: K samples, S runs, B rows; numbers of w bytes, computed in fp32. Bytes per element of log_w,
the least: forward 2 w, log_w in and weights out; backward 2 w, weights in and the gradient out; and
8 per row for bound and ess. Up to REACH samples a program holds all K of its rows; beyond, it reads
log_w a second time for the weights, 3 w forward.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaebench.ops.eligible import DTYPES
from vaebench.ops.gpu.device import load, store
from vaebench.ops.gpu.launch import NUM_WARPS, device_of

REACH = 1024
"""Samples that one program holds at once, in the registers of 8 neighbouring rows."""

ELEMENTS = 2048
"""Elements per program, where K leaves the choice."""

MOST_ROWS = 512


def importance_weights(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log-mean-exp [S, B], normalised weights [K, S, B] and effective sample size [S, B].

    Of log_w [K, S, B]; bound and size in float32, weights in the dtype of log_w. Only the bound is
    differentiable, once. Raises ValueError for tensors that the kernel does not take.
    """
    if log_w.dtype not in DTYPES or log_w.ndim != 3 or not log_w.shape[0]:
        known = ", ".join(map(str, DTYPES))
        raise ValueError(
            f"importance_weights needs log_w [K, S, B] of {known}, K at least 1; got "
            f"{tuple(log_w.shape)} {log_w.dtype}"
        )
    bound, weights, ess = _op(log_w)
    return bound, weights, ess


def tile(num_samples: int) -> dict[str, int]:
    """Samples and rows of the tile of one program."""
    samples = min(triton.next_power_of_2(num_samples), REACH)
    rows = max(8, min(MOST_ROWS, ELEMENTS // samples))
    return {"SAMPLES": samples, "ROWS": rows, "num_warps": 8 if samples > 256 else NUM_WARPS}


@torch.library.custom_op("vaebench::importance_weights", mutates_args=())
def _op(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    bound, weights, ess = _outputs(log_w)
    log_w = _with_even_samples(log_w)
    num_samples, num_rows = log_w.shape[0], log_w[0].numel()
    constants = tile(num_samples)
    with device_of(log_w):
        forward[(triton.cdiv(num_rows, constants["ROWS"]),)](
            log_w, bound, weights, ess, num_samples, num_rows, log_w.stride(0),
            HOLDS_ALL=num_samples <= REACH, **constants,
        )  # fmt: skip
    return bound, weights, ess


@torch.library.custom_op("vaebench::importance_weights_backward", mutates_args=())
def _backward_op(weights: Tensor, dbound: Tensor) -> Tensor:
    """The gradient to log_w [K, S, B] from that to the bound [S, B]."""
    gradient = torch.empty_like(weights)
    num_samples, num_runs, num_rows = weights.shape
    with device_of(weights):
        backward[_backward_grid(weights)](
            weights, dbound, gradient, num_samples, num_rows, num_runs * num_rows,
            *dbound.stride(), **BACKWARD_TILE, num_warps=NUM_WARPS,
        )  # fmt: skip
    return gradient


BACKWARD_TILE = {"SAMPLES": 4, "ROWS": 256}


def _backward_grid(weights: Tensor) -> tuple[int, int]:
    """Rows and samples. Samples are the second axis, which takes 65535 programs, or 262140."""
    num_samples, num_rows = weights.shape[0], weights[0].numel()
    return (
        triton.cdiv(num_rows, BACKWARD_TILE["ROWS"]),
        triton.cdiv(num_samples, BACKWARD_TILE["SAMPLES"]),
    )


def _outputs(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    bound, ess = (log_w.new_empty(log_w.shape[1:], dtype=torch.float32) for _ in range(2))
    return bound, log_w.new_empty(log_w.shape), ess


def _with_even_samples(log_w: Tensor) -> Tensor:
    """log_w, copied unless [S, B] is dense for each sample."""
    _, run, row = log_w.stride()
    return log_w if (run, row) == (log_w.shape[2], 1) else log_w.contiguous()


@_op.register_fake
def _(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(log_w)


@_backward_op.register_fake
def _(weights: Tensor, dbound: Tensor) -> Tensor:
    return torch.empty_like(weights)


def _save(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, weights, ess = output
    ctx.mark_non_differentiable(weights, ess)
    ctx.save_for_backward(weights)


def _differentiate(ctx: Any, dbound: Tensor, *_: Tensor) -> Tensor:
    (weights,) = ctx.saved_tensors
    return _backward_op(weights, dbound)


_op.register_autograd(_differentiate, setup_context=_save)


@triton.jit
def _read(log_w_ptr, k, row, num_samples, num_rows, sample_stride):
    """Log-weights of some samples and rows, -inf where there are none."""
    inside = (k < num_samples)[:, None] & (row < num_rows)[None, :]
    at = k.to(tl.int64)[:, None] * sample_stride + row.to(tl.int64)[None, :]
    log_w = tl.load(log_w_ptr + at, mask=inside, other=float("-inf"))
    return log_w.to(tl.float32), inside


@triton.jit
def _finite(x):
    """x, 0 where it is infinite: what exponents are taken relative to."""
    return tl.where(tl.abs(x) == float("inf"), 0.0, x)


# num_rows is specialised: as a multiple of 16 it lets the accesses be wide.
@triton.jit(do_not_specialize=["num_samples"])
def forward(
    log_w_ptr, bound_ptr, weights_ptr, ess_ptr, num_samples, num_rows, sample_stride,
    HOLDS_ALL: tl.constexpr, SAMPLES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """All K samples of some rows, at once or block after block with a running maximum."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, SAMPLES)
    log_w, inside = _read(log_w_ptr, k, row, num_samples, num_rows, sample_stride)
    top = tl.max(log_w, 0)
    part = tl.exp(log_w - _finite(top)[None, :])
    total = tl.sum(part, 0)
    squares = tl.sum(part * part, 0)
    if not HOLDS_ALL:
        for first in range(SAMPLES, num_samples, SAMPLES):
            log_w, inside = _read(log_w_ptr, first + k, row, num_samples, num_rows, sample_stride)
            new_top = tl.maximum(top, tl.max(log_w, 0))
            shrink = tl.exp(top - _finite(new_top))
            shrink = tl.where(top == new_top, 1.0, shrink)
            more = tl.exp(log_w - _finite(new_top)[None, :])
            total = total * shrink + tl.sum(more, 0)
            squares = squares * shrink * shrink + tl.sum(more * more, 0)
            top = new_top
    valid = row < num_rows
    bound = _finite(top) + tl.log(total) - tl.log(num_samples.to(tl.float32))
    tl.store(bound_ptr + row, bound, mask=valid)
    tl.store(ess_ptr + row, total * total / squares, mask=valid)
    if HOLDS_ALL:
        at = k.to(tl.int64)[:, None] * num_rows + row.to(tl.int64)[None, :]
        store(weights_ptr, at, part / total[None, :], inside)
    else:
        for first in range(0, num_samples, SAMPLES):
            log_w, inside = _read(log_w_ptr, first + k, row, num_samples, num_rows, sample_stride)
            at = (first + k).to(tl.int64)[:, None] * num_rows + row.to(tl.int64)[None, :]
            weights = tl.exp(log_w - _finite(top)[None, :]) / total[None, :]
            store(weights_ptr, at, weights, inside)


@triton.jit(do_not_specialize=["num_samples", "num_rows", "dbound_run", "dbound_row"])
def backward(
    weights_ptr, dbound_ptr, gradient_ptr, num_samples, num_rows, num_all, dbound_run, dbound_row,
    SAMPLES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """gradient = weights dbound."""
    at_row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(1) * SAMPLES + tl.arange(0, SAMPLES)
    run, row = (at_row // num_rows).to(tl.int64), (at_row % num_rows).to(tl.int64)
    dbound = load(dbound_ptr, run * dbound_run + row * dbound_row, at_row < num_all)
    inside = (k < num_samples)[:, None] & (at_row < num_all)[None, :]
    at = k.to(tl.int64)[:, None] * num_all + at_row.to(tl.int64)[None, :]
    store(gradient_ptr, at, load(weights_ptr, at, inside) * dbound[None, :], inside)
