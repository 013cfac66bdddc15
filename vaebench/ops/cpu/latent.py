"""The latent step on a CPU, with gradients written by hand.

Axes: K samples, S runs, B rows, D columns.
"""

# mypy: disable-error-code="override"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops.cpu.differentiable_once import differentiable_once
from vaebench.ops.densities import LOG_2PI
from vaebench.ops.noise import Noise, normals


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """Compute what densities.reparameterise_kl does, its gradients by hand."""
    eps = normals(noise, num_samples, *mu.shape[-2:])
    z, kl = _ReparameteriseKL.apply(mu, log_var, eps, False)
    return z, kl


def reparameterise_kl_per_dimension(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """Compute what densities.reparameterise_kl_per_dimension does, its gradients by hand."""
    eps = normals(noise, num_samples, *mu.shape[-2:])
    z, kl = _ReparameteriseKL.apply(mu, log_var, eps, True)
    return z, kl


def reparameterise_log_probs(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1, *, path: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what densities.reparameterise_log_probs does, its gradients by hand."""
    eps = normals(noise, num_samples, *mu.shape[-2:])
    z, log_q, log_p = _ReparameteriseLogProbs.apply(mu, log_var, eps, path)
    return z, log_q, log_p


class _ReparameteriseKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mu: Tensor, log_var: Tensor, eps: Tensor, per_dimension: bool
    ) -> tuple[Tensor, Tensor]:
        step = _scaled(log_var, eps)
        var_minus_1 = torch.expm1(log_var)
        twice_kl = (var_minus_1 - log_var).addcmul_(mu, mu)
        ctx.save_for_backward(mu, step, var_minus_1)
        ctx.per_dimension = per_dimension
        return mu + step, (twice_kl if per_dimension else twice_kl.sum(-1)).mul_(0.5)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dz: Tensor, dkl: Tensor) -> tuple[Tensor, Tensor, None, None]:
        mu, step, var_minus_1 = ctx.saved_tensors
        dkl = dkl if ctx.per_dimension else dkl.unsqueeze(-1)
        dmu = torch.addcmul(_over_samples(dz), dkl, mu)
        dlog_var = torch.mul(var_minus_1, dkl).add_(_over_samples(dz * step)).mul_(0.5)
        return dmu, dlog_var, None, None


class _ReparameteriseLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mu: Tensor, log_var: Tensor, eps: Tensor, path: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        step = _scaled(log_var, eps)
        z = mu + step
        constant = mu.shape[-1] * LOG_2PI
        log_q = _squares(eps).add_(log_var.sum(-1)).add_(constant).mul_(-0.5)
        log_p = _squares(z).add_(constant).mul_(-0.5)
        ctx.save_for_backward(z, step, log_var)
        ctx.path = path
        return z, log_q, log_p

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dz: Tensor, dq: Tensor, dp: Tensor) -> tuple[Tensor, Tensor, None, None]:
        z, step, log_var = ctx.saved_tensors
        g = torch.addcmul(dz, dp.unsqueeze(-1), z, value=-1.0)
        if ctx.path:
            g.addcmul_(dq.unsqueeze(-1) * step, torch.exp(-log_var), value=-1.0)
        by_log_var = _over_samples(g * step)
        if not ctx.path:
            by_log_var = by_log_var - dq.sum(0).unsqueeze(-1)
        return _over_samples(g), by_log_var.mul(0.5), None, None


def _scaled(log_var: Tensor, eps: Tensor) -> Tensor:
    """exp(log_var / 2) eps: [K, S, B, D]."""
    std = torch.mul(log_var, 0.5).exp_()
    return std.mul_(eps[0]).unsqueeze(0) if len(eps) == 1 else std * eps


def _over_samples(x: Tensor) -> Tensor:
    """The sum over K, without a pass where there is one sample."""
    return x[0] if len(x) == 1 else x.sum(0)


def _squares(x: Tensor) -> Tensor:
    """Sum of squares over the last axis, in one pass."""
    return torch.linalg.vector_norm(x, dim=-1).square_()
