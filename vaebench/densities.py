"""Every log-density and divergence, written once, in plain PyTorch, in nats.

Axes: K posterior samples, S stacked runs, B examples, D latent dimensions, P pixels. Densities
reduce the last axis. Everything broadcasts, and float64 in gives float64 out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.noise import Noise, normals

LOG_2PI = math.log(2.0 * math.pi)


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """log N(x; mu, diag(exp(log_var))): [..., D] -> [...].

    log_var may be narrower than x: one value for all D counts D times.
    """
    log_det = log_var.expand(*log_var.shape[:-1], x.shape[-1]).sum(-1)
    squares = ((x - mu) * torch.exp(-0.5 * log_var)).square().sum(-1)
    return -0.5 * (squares + log_det + x.shape[-1] * LOG_2PI)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I): [..., D] -> [...]."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI)


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log prod_p Bernoulli(x_p; sigmoid(logits_p)): [..., P] -> [...]. x in {0, 1}."""
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL[N(mu, diag(exp(log_var))) || N(0, I)]: [..., D] -> [...].

    Kingma & Welling 2014, appendix B. expm1 keeps the digits where log_var is near 0.
    """
    return 0.5 * (mu.square() + torch.expm1(log_var) - log_var).sum(-1)


def gaussian_kl_between(mu: Tensor, log_var: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    """KL[N(mu, exp(log_var)) || N(mu_p, exp(log_var_p))], both diagonal: [..., D] -> [...].

    KL is unchanged by the affine map that makes the second Gaussian standard.
    """
    return gaussian_kl((mu - mu_p) * torch.exp(-0.5 * log_var_p), log_var - log_var_p)


def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL[p || q] of normalised discrete distributions over C values: [..., C] -> [...].

    A value that p never takes adds nothing, whatever q gives it.
    """
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p)).sum(-1)


def log_mean_exp(log_w: Tensor, dim: int = 0) -> Tensor:
    """log (1/K) sum_k exp(log_w_k), by default over the sample axis: [K, ...] -> [...]."""
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def reparameterise(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mu + exp(log_var / 2) * eps: [S, B, D], [K, S, B, D] -> [K, S, B, D].

    Kingma & Welling 2014, section 2.4.
    """
    return mu + torch.exp(0.5 * log_var) * eps


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """z [K, S, B, D] drawn with the given noise, and the KL to N(0, I) [S, B]; from [S, B, D]."""
    eps = normals(noise, num_samples, *mu.shape[-2:]).to(mu)
    return reparameterise(mu, log_var, eps), gaussian_kl(mu, log_var)
