"""The two kernels of the likelihoods: log p(x|z) summed over the pixels of each row.

One body serves all laws of `pixel_laws`; b, their second parameter, is absent, one per row or one
per pixel. `likelihood_launch` launches them; formulas and traffic stand in `likelihood`.

Axes: K samples, S runs, B rows, P pixels.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import triton
import triton.language as tl

from vaebench.ops.gpu.device import load, store

WHERE = ["num_samples", "num_runs", "num_rows", "x_sample", "x_run", "a_sample", "a_run"]
WHERE += ["b_sample", "b_run", "b_row"]


@triton.jit
def _pixels(
    x_ptr, a_ptr, b_ptr, x_row, a_row, b_row, columns, inside,
    X_STRIDE: tl.constexpr, A_STRIDE: tl.constexpr, B_STRIDE: tl.constexpr,
    HAS_B: tl.constexpr, PER_PIXEL: tl.constexpr, IS_LEVEL: tl.constexpr,
):  # fmt: skip
    """x, a and b of one tile in float32; b is a where there is none."""
    x = load(x_ptr, x_row[:, None] * X_STRIDE + columns, inside)
    if IS_LEVEL:
        x = x / 255.0
    a = load(a_ptr, a_row[:, None] * A_STRIDE + columns, inside)
    b = a
    if PER_PIXEL:
        b = load(b_ptr, b_row[:, None] * B_STRIDE + columns, inside)
    elif HAS_B:
        b = tl.load(b_ptr + b_row)[:, None]
    return x, a, b


@triton.jit(do_not_specialize=WHERE)
def forward(
    x_ptr, a_ptr, b_ptr, log_prob_ptr,
    num_samples, num_runs, num_rows, x_sample, x_run, a_sample, a_run, b_sample, b_run, b_row,
    LAW: tl.constexpr, P: tl.constexpr,
    X_STRIDE: tl.constexpr, A_STRIDE: tl.constexpr, B_STRIDE: tl.constexpr,
    HAS_B: tl.constexpr, PER_PIXEL: tl.constexpr, IS_LEVEL: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """log_prob [K, S, B] of one tile of rows of one sample of one run."""
    k = (tl.program_id(0) % num_samples).to(tl.int64)
    run = tl.program_id(1).to(tl.int64)
    row = ((tl.program_id(0) // num_samples) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    x_at, a_at = k * x_sample + run * x_run + row, k * a_sample + run * a_run + row
    b_at = k * b_sample + run * b_run + tl.minimum(row, num_rows - 1) * b_row
    total = tl.zeros([ROWS], tl.float32)
    for column in range(0, P, BLOCK):
        columns = column + tl.arange(0, BLOCK)[None, :]
        inside = (row < num_rows)[:, None] & (columns < P)
        x, a, b = _pixels(
            x_ptr, a_ptr, b_ptr, x_at, a_at, b_at, columns, inside,
            X_STRIDE, A_STRIDE, B_STRIDE, HAS_B, PER_PIXEL, IS_LEVEL,
        )  # fmt: skip
        total += tl.sum(tl.where(inside, LAW(x, a, b), 0.0), 1)
    at = (k * num_runs + run) * num_rows + row
    tl.store(log_prob_ptr + at, total, mask=row < num_rows)


@triton.jit(do_not_specialize=[*WHERE, "d_sample", "d_run", "d_row"])
def backward(
    x_ptr, a_ptr, b_ptr, d_ptr, da_ptr, db_ptr,
    num_samples, num_runs, num_rows, x_sample, x_run, a_sample, a_run, b_sample, b_run, b_row,
    d_sample, d_run, d_row,
    LAW: tl.constexpr, P: tl.constexpr,
    X_STRIDE: tl.constexpr, A_STRIDE: tl.constexpr, B_STRIDE: tl.constexpr,
    HAS_B: tl.constexpr, PER_PIXEL: tl.constexpr, IS_LEVEL: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """da [S, K, B, P] and db, the same or [K, S, B], from the gradient d to log_prob."""
    k = (tl.program_id(0) % num_samples).to(tl.int64)
    run = tl.program_id(1).to(tl.int64)
    row = ((tl.program_id(0) // num_samples) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    x_at, a_at = k * x_sample + run * x_run + row, k * a_sample + run * a_run + row
    b_at = k * b_sample + run * b_run + tl.minimum(row, num_rows - 1) * b_row
    out_at = ((run * num_samples + k) * num_rows + row)[:, None]
    d = load(d_ptr, k * d_sample + run * d_run + row * d_row, row < num_rows)[:, None]
    db_row = tl.zeros([ROWS], tl.float32)
    for column in range(0, P, BLOCK):
        columns = column + tl.arange(0, BLOCK)[None, :]
        inside = (row < num_rows)[:, None] & (columns < P)
        x, a, b = _pixels(
            x_ptr, a_ptr, b_ptr, x_at, a_at, b_at, columns, inside,
            X_STRIDE, A_STRIDE, B_STRIDE, HAS_B, PER_PIXEL, IS_LEVEL,
        )  # fmt: skip
        slope_a, slope_b = LAW(x, a, b)
        store(da_ptr, out_at * P + columns, d * slope_a, inside)
        if PER_PIXEL:
            store(db_ptr, out_at * P + columns, d * slope_b, inside)
        elif HAS_B:
            db_row += tl.sum(tl.where(inside, d * slope_b, 0.0), 1)
    if HAS_B and not PER_PIXEL:
        at = (k * num_runs + run) * num_rows + row
        tl.store(db_ptr + at, db_row, mask=row < num_rows)
