"""Importance weighting on a CPU in C: see weights.c. Shapes as in `densities`."""

# mypy: disable-error-code="override"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c.rows import empty
from vaebench.ops.cpu.differentiable_once import differentiable_once


def importance_weights(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what densities.importance_weights does, in C."""
    if len(log_w) == 1:
        return _of_one_sample(log_w)
    bound, weights, ess = _ImportanceWeights.apply(log_w)
    return bound, weights, ess


def _of_one_sample(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Its weight is 1, or NaN where it is not finite: a call of C takes longer than the work."""
    value = log_w.detach()
    weights = (value - value).exp_()
    return log_w[0], weights, weights[0].clone()


class _ImportanceWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_w, weights = log_w.contiguous(), empty(log_w.shape)
        bound, ess = empty(log_w.shape[1:]), empty(log_w.shape[1:])
        c.functions().vaebench_importance_weights(
            len(log_w), bound.numel(), log_w.data_ptr(), bound.data_ptr(), weights.data_ptr(),
            ess.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(weights)
        ctx.mark_non_differentiable(weights, ess)
        return bound, weights, ess

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dbound: Tensor, *_: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        return weights * dbound
