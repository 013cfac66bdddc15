"""Affine maps of S runs side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.ops.c.product import product
from vaebench.ops.dispatch import can_call_c


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [S, N, I], weight [S, I, O] and bias [S, 1, O] -> [S, N, O].

    Where nothing is to be differentiated, as in evaluation, one CPU thread takes the products of
    compiled steps, in which a row has the same bits whatever is beside it.
    """
    in_float32 = x.dtype == weight.dtype == bias.dtype == torch.float32
    alone = not torch.is_grad_enabled() and torch.get_num_threads() == 1
    if alone and in_float32 and can_call_c(x):
        return product(x, weight).add_(bias)
    return torch.baddbmm(bias, x, weight)
