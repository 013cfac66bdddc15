"""Importance weighting over K samples on a GPU: one kernel forward, one backward.

    bound = log (1/K) sum_k exp(log_w_k),    weight_k = exp(log_w_k) / sum_j exp(log_w_j),
    ess = 1 / sum_k weight_k^2,              d bound / d log_w_k = weight_k

(Burda et al. 2016, eq. 8 and section 3). Weights and effective sample size carry no gradient.

Axes: K samples, S runs, B rows; numbers of w bytes, computed in fp32. Bytes per element of log_w,
the least: forward 2 w, log_w in and weights out; backward 2 w, weights in and the gradient out; and
8 per row for bound and ess. Up to REACH samples a program holds all K of its rows; beyond, it reads
log_w a second time for the weights, 3 w forward.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops.eligible import DTYPES
from vaebench.ops.gpu import importance_launch


def importance_weights(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log-mean-exp [S, B], normalised weights [K, S, B] and effective sample size [S, B] of log_w.

    log_w is [K, S, B]. Bound and size are in float32, weights in the dtype of log_w. Only the bound
    is differentiable, once. Raises ValueError for tensors that the kernel does not take.
    """
    if log_w.dtype not in DTYPES or log_w.ndim != 3 or not log_w.shape[0]:
        known = ", ".join(map(str, DTYPES))
        raise ValueError(
            f"importance_weights needs log_w [K, S, B] of {known}, K at least 1; got "
            f"{tuple(log_w.shape)} {log_w.dtype}"
        )
    bound, weights, ess = _op(log_w)
    return bound, weights, ess


@torch.library.custom_op("vaebench::importance_weights", mutates_args=())
def _op(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    bound, weights, ess = importance_launch.empty_results(log_w)
    importance_launch.launch_forward(log_w, bound, weights, ess)
    return bound, weights, ess


@torch.library.custom_op("vaebench::importance_weights_backward", mutates_args=())
def _backward_op(weights: Tensor, dbound: Tensor) -> Tensor:
    """The gradient to log_w [K, S, B] from that to the bound [S, B]."""
    gradient = torch.empty_like(weights)
    importance_launch.launch_backward(weights, dbound, gradient)
    return gradient


@_op.register_fake
def _(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return importance_launch.empty_results(log_w)


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
