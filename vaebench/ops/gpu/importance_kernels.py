"""The two kernels of importance weighting over K samples: weights and bound, and their gradient.

`importance_launch` launches them; formulas and traffic stand in `importance`.

Axes: K samples, S runs, B rows.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import triton
import triton.language as tl

from vaebench.ops.gpu.device import load, store


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
