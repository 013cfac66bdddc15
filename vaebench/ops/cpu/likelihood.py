"""Likelihoods on a CPU, with gradients written by hand. Shapes as in `densities`.

The pixels have no gradient: the dispatch keeps those that need one away.
"""

# mypy: disable-error-code="override"

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.ops.cpu.differentiable_once import differentiable_once
from vaebench.ops.densities import LOG_2PI, NUM_LEVELS

LOG_BIN = -math.log(NUM_LEVELS - 1.0)
HALF_BIN = 0.5 / (NUM_LEVELS - 1)
HALF = torch.tensor(0.5)
SMALLEST = 1e-30
"""The least divisor and argument of a logarithm; results are those of 0 far above it."""
LOG_SMALLEST = math.log(SMALLEST)
NEAR = 0.3
MEAN_AT_NEAR = 0.5 - NEAR * (1 / 12 - NEAR**2 * (1 / 720 - NEAR**2 / 30240))


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Compute what densities.gaussian_log_prob does, its gradients by hand."""
    log_prob: Tensor = _Gaussian.apply(x, mu, log_var)
    return log_prob


def continuous_bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """Compute what densities.continuous_bernoulli_log_prob does, its gradients by hand."""
    log_prob: Tensor = _ContinuousBernoulli.apply(x, logits)
    return log_prob


def discretised_logistic_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """Compute what densities.discretised_logistic_log_prob does, its gradients by hand."""
    log_prob: Tensor = _DiscretisedLogistic.apply(x, loc, log_scale)
    return log_prob


class _Gaussian(torch.autograd.Function):
    """With d = (x - mu) / sigma: by mu d / sigma, by log_var (d^2 - 1) / 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        width, repeats = mu.shape[-1], mu.shape[-1] // log_var.shape[-1]
        inverse = torch.mul(log_var, -0.5).exp_()
        scaled = (x - mu).mul_(inverse)
        ctx.save_for_backward(scaled, inverse)
        ctx.log_var_shape = log_var.shape
        log_det = log_var.sum(-1).mul(repeats)
        squares = torch.linalg.vector_norm(scaled, dim=-1).square_()
        return squares.add_(log_det).add_(width * LOG_2PI).mul_(-0.5)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        scaled, inverse = ctx.saved_tensors
        upstream = upstream.unsqueeze(-1)
        _, needs_mu, needs_log_var = ctx.needs_input_grad
        by_mu = by_log_var = None
        if needs_mu and inverse.shape[-1] == 1:
            by_mu = scaled * (inverse * upstream)
        elif needs_mu:
            by_mu = (scaled * inverse).mul_(upstream)
        if needs_log_var:
            by_log_var = scaled.square().sub_(1.0).mul_(0.5 * upstream)
            by_log_var = by_log_var.sum_to_size(ctx.log_var_shape)
        return None, by_mu, by_log_var


class _ContinuousBernoulli(torch.autograd.Function):
    """log p = (x - [logit > 0]) logit - log((1 - exp(-t)) / t), t = |logit|."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        rate = logits.abs().clamp_min_(SMALLEST)
        log_mean = torch.neg(rate).expm1_().div_(rate).neg_().log_()
        from_end = torch.copysign(HALF, logits).add_(0.5).sub_(x).neg_()
        ctx.save_for_backward(logits, rate, from_end)
        return torch.sub(from_end * logits, log_mean).sum(-1)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor]:
        logits, rate, from_end = ctx.saved_tensors
        slope = _mean_decay(rate).copysign_(logits).add_(from_end)
        return None, slope.mul_(upstream.unsqueeze(-1))


def _mean_decay(t: Tensor) -> Tensor:
    """1 / t - 1 / (exp(t) - 1): from NEAR on exactly, below by its series, off by 2e-10.

    Each part is constant where the other varies: a choice by a mask takes longer than both.
    """
    far = t.clamp_min(NEAR)
    exact = torch.expm1(far).reciprocal_().neg_().add_(far.reciprocal_())
    near = t.clamp_max(NEAR)
    s = near * near
    series = s.mul(1 / 30240).sub_(1 / 720).mul_(s).add_(1 / 12).mul_(near)
    return exact.sub_(series).add_(0.5 - MEAN_AT_NEAR)


class _DiscretisedLogistic(torch.autograd.Function):
    """log F(b) + log(1 - F(a)) + log(1 - exp(a - b)) for the edges a, b in units of the scale.

    The first level lacks the second and third part, the last the first and third: factors of 0.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        inverse = torch.neg(log_scale).exp_()
        half = inverse * HALF_BIN
        distance = (x - loc).mul_(inverse)
        to_upper, to_lower = half + distance, half - distance
        width = half.mul_(2.0).clamp_min_(SMALLEST)
        not_last, not_first = _floats(x <= 1.0 - HALF_BIN, x), _floats(x >= HALF_BIN, x)
        ctx.save_for_backward(inverse, to_upper, to_lower, width, not_first, not_last)
        log_mass = torch.neg(width).expm1_().neg_().log_()
        # What the width falls short of the smallest number: a scale may be that large.
        log_mass.add_(torch.sub(LOG_BIN - LOG_SMALLEST, log_scale).clamp_max_(0.0))
        log_mass.mul_(not_first * not_last)
        log_mass.addcmul_(F.logsigmoid(to_upper), not_last)
        return log_mass.addcmul_(F.logsigmoid(to_lower), not_first).sum(-1)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor, Tensor]:
        inverse, to_upper, to_lower, width, not_first, not_last = ctx.saved_tensors
        upstream = upstream.unsqueeze(-1)
        upper = torch.neg(to_upper).sigmoid_().mul_(not_last)
        lower = torch.neg(to_lower).sigmoid_().mul_(not_first)
        by_log_scale = torch.div(width, torch.expm1(width)).mul_(not_first * not_last)
        by_log_scale.addcmul_(to_upper, upper).addcmul_(to_lower, lower)
        by_loc = lower.sub_(upper).mul_(inverse).mul_(upstream)
        return None, by_loc, by_log_scale.mul_(upstream).neg_()


def _floats(mask: Tensor, x: Tensor) -> Tensor:
    return mask.to(x.dtype)
