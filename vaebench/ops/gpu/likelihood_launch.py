"""Launches of the kernels of the likelihoods: which law, how tensors are read, tiles and grids.

Axes: K samples, S runs, B rows, P pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops.gpu import likelihood_kernels, pixel_laws
from vaebench.ops.gpu.launch import NUM_WARPS, device_of, in_rows, num_tiles, tile, with_whole_rows

LAWS = {
    "bernoulli": (pixel_laws.bernoulli_value, pixel_laws.bernoulli_slopes),
    "gaussian": (pixel_laws.gaussian_value, pixel_laws.gaussian_slopes),
    "continuous_bernoulli": (
        pixel_laws.continuous_bernoulli_value,
        pixel_laws.continuous_bernoulli_slopes,
    ),
    "discretised_logistic": (
        pixel_laws.discretised_logistic_value,
        pixel_laws.discretised_logistic_slopes,
    ),
}
"""The value of one pixel and its slopes, by the name of the law."""


def launch_forward(x: Tensor, a: Tensor, b: Tensor | None, log_prob: Tensor, law: str) -> None:
    """Fills log_prob [K, S, B] from x and a [K, S, B, P]; b the same, [K, S, B] or absent."""
    with device_of(a):
        x, a, b, where, constants = _arranged(x, a, b)
        likelihood_kernels.forward[_grid(a)](
            x, a, b, log_prob, *where, LAW=LAWS[law][0], IS_LEVEL=_is_level(x, law), **constants
        )


def launch_backward(
    x: Tensor, a: Tensor, b: Tensor | None, dlog_prob: Tensor, da: Tensor, db: Tensor, law: str
) -> None:
    """Fills the gradients da and db, see `empty_gradients`, from that to log_prob [K, S, B]."""
    with device_of(a):
        x, a, b, where, constants = _arranged(x, a, b)
        likelihood_kernels.backward[_grid(a)](
            x, a, b, dlog_prob, da, db, *where, *dlog_prob.stride(),
            LAW=LAWS[law][1], IS_LEVEL=_is_level(x, law), **constants,
        )  # fmt: skip


def _is_level(x: Tensor, law: str) -> bool:
    """Whether x counts in 255ths: bytes do, but for a Bernoulli law they are 0 or 1."""
    return x.dtype == torch.uint8 and law != "bernoulli"


def empty_rows(a: Tensor) -> Tensor:
    """Memory for one float32 per row: [K, S, B]."""
    return a.new_empty(a.shape[:-1], dtype=torch.float32)


def empty_gradients(a: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    """Memory for both gradients, run by run as the decoders' outputs lie: [S, K, B, P]."""
    K, S, B, P = a.shape
    da = a.new_empty(S, K, B, P)
    if b is None:
        return da, a.new_empty(0)
    return da, empty_rows(a) if b.ndim == 3 else b.new_empty(S, K, B, P)


def _arranged(
    x: Tensor, a: Tensor, b: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, tuple[int, ...], dict[str, Any]]:
    """Tensors as the kernels read them, where their rows are, and what is compiled."""
    x, a = _with_rows(x), with_whole_rows(a)
    per_pixel = b is not None and b.ndim == 4
    b = with_whole_rows(b) if per_pixel and b is not None else b
    b_at: tuple[int, ...] = (0, 0, 0)
    if b is not None:
        b_at = (in_rows(b, 0), in_rows(b, 1), 1) if per_pixel else b.stride()
    K, S, B, P = a.shape
    constants = {
        "P": P, "X_STRIDE": x.stride(-2), "A_STRIDE": a.stride(-2),
        "B_STRIDE": b.stride(-2) if per_pixel and b is not None else 0,
        "HAS_B": b is not None, "PER_PIXEL": per_pixel, **tile(P), "num_warps": NUM_WARPS,
    }  # fmt: skip
    where = (
        K, S, B, in_rows(x, 0), in_rows(x, 1), in_rows(a, 0), in_rows(a, 1), *b_at
    )  # fmt: skip
    return x, a, b, where, constants


def _with_rows(x: Tensor) -> Tensor:
    """Whole rows, as by with_whole_rows, but a copy is made of what is repeated on no sample."""
    if with_whole_rows(x) is x:
        return x
    return x[:1].contiguous().expand_as(x) if x.stride(0) == 0 else x.contiguous()


def _grid(a: Tensor) -> tuple[int, int]:
    K, S, B, P = a.shape
    return K * num_tiles(B, P), S
