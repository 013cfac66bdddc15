"""Launches of the kernels of importance weighting: tiles, grids and the memory of the results.

Axes: K samples, S runs, B rows.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from vaebench.ops.gpu import importance_kernels
from vaebench.ops.gpu.launch import NUM_WARPS, device_of

REACH = 1024
"""Samples that one program holds at once, in the registers of 8 neighbouring rows."""

ELEMENTS = 2048
"""Elements per program, where the number of samples leaves the choice."""

MOST_ROWS = 512
"""Rows of one program, at most."""

BACKWARD_TILE = {"SAMPLES": 4, "ROWS": 256}


def tile(num_samples: int) -> dict[str, int]:
    """Samples and rows of the tile of one program."""
    samples = min(triton.next_power_of_2(num_samples), REACH)
    rows = max(8, min(MOST_ROWS, ELEMENTS // samples))
    return {"SAMPLES": samples, "ROWS": rows, "num_warps": 8 if samples > 256 else NUM_WARPS}


def launch_forward(log_w: Tensor, bound: Tensor, weights: Tensor, ess: Tensor) -> None:
    """Fills bound [S, B], weights [K, S, B] and effective sample sizes [S, B] from log_w."""
    log_w = _with_even_samples(log_w)
    num_samples, num_rows = log_w.shape[0], log_w[0].numel()
    constants = tile(num_samples)
    with device_of(log_w):
        importance_kernels.forward[(triton.cdiv(num_rows, constants["ROWS"]),)](
            log_w, bound, weights, ess, num_samples, num_rows, log_w.stride(0),
            HOLDS_ALL=num_samples <= REACH, **constants,
        )  # fmt: skip


def launch_backward(weights: Tensor, dbound: Tensor, gradient: Tensor) -> None:
    """Fills the gradient to log_w [K, S, B] from the weights and the gradient to the bound."""
    num_samples, num_runs, num_rows = weights.shape
    with device_of(weights):
        importance_kernels.backward[_backward_grid(weights)](
            weights, dbound, gradient, num_samples, num_rows, num_runs * num_rows,
            *dbound.stride(), **BACKWARD_TILE, num_warps=NUM_WARPS,
        )  # fmt: skip


def empty_results(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for bound, weights and effective sample sizes."""
    bound, ess = (log_w.new_empty(log_w.shape[1:], dtype=torch.float32) for _ in range(2))
    return bound, log_w.new_empty(log_w.shape), ess


def _backward_grid(weights: Tensor) -> tuple[int, int]:
    """Rows and samples. Samples are the second axis, which takes 65535 programs, or 262140."""
    num_samples, num_rows = weights.shape[0], weights[0].numel()
    return (
        triton.cdiv(num_rows, BACKWARD_TILE["ROWS"]),
        triton.cdiv(num_samples, BACKWARD_TILE["SAMPLES"]),
    )


def _with_even_samples(log_w: Tensor) -> Tensor:
    """log_w, copied unless [S, B] is dense for each sample."""
    _, run, row = log_w.stride()
    return log_w if (run, row) == (log_w.shape[2], 1) else log_w.contiguous()
