"""Affine maps of S runs side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.ops.c.product import product
from vaebench.ops.dispatch import can_call_c


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [S, N, I], weight [S, I, O] and bias [S, 1, O] -> [S, N, O].

    Where nothing is to be differentiated, as in evaluation, a CPU takes the products of compiled
    steps, in which a row has the same bits whatever is beside it, in any number of threads.
    """
    in_float32 = x.dtype == weight.dtype == bias.dtype == torch.float32
    if not torch.is_grad_enabled() and in_float32 and can_call_c(x):
        return product(x, weight, torch.get_num_threads()).add_(bias)
    return torch.baddbmm(bias, x, weight)
