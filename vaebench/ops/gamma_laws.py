"""Log-densities made of gamma functions: Student's t, and the laws of counts, in nats.

log Gamma(x + r) - log Gamma(r) - log Gamma(x + 1), the difference of large numbers, has few digits
left in float32. Here log Gamma is Stirling's formula and a small remainder; the formulas cancel on
paper (Loader 2000, "Fast and accurate computation of binomial probabilities"). Axes: see densities.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.ops.densities import LOG_2PI

SERIES_FROM = 8.0
"""From here on the series below is off by less than 1e-10; before it, log Gamma itself is small."""
STEEP = 20.0
"""exp(20) - 1 is exp(20) to the last digit of float32, and to nine digits."""


def stirling_remainder(a: Tensor) -> Tensor:
    """log Gamma(a) - (a - 1/2) log a + a - log(2 pi) / 2 for a > 0: same shape."""
    near = a.clamp(max=SERIES_FROM)
    exact = torch.lgamma(near) - (near - 0.5) * near.log() + near - 0.5 * LOG_2PI
    inverse = 1.0 / a.clamp(min=SERIES_FROM)
    s = inverse.square()
    series = inverse * (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188))))
    return torch.where(a < SERIES_FROM, exact, series)


def student_t_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor, df: Tensor) -> Tensor:
    """log prod_p of Student's t density, of df > 0, with location and scale: [..., P] -> [...].

    As df grows, it is the Gaussian's, digit by digit.
    """
    half = 0.5 * df
    remainder = stirling_remainder(half + 0.5) - stirling_remainder(half)
    constant = half * torch.log1p(0.5 / half) - 0.5 + remainder - 0.5 * LOG_2PI
    squares = ((x - loc) * torch.exp(-log_scale)).square()
    return (constant - log_scale - (half + 0.5) * torch.log1p(squares / df)).sum(-1)


def poisson_log_prob(x: Tensor, log_rate: Tensor) -> Tensor:
    """log prod_p Poisson(x_p; exp(log_rate_p)) for x in {0, 1, ...}: [..., P] -> [...]."""
    return _poisson(x, log_rate).sum(-1)


def negative_binomial_log_prob(x: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """log prod_p of the negative binomial of mean m_p and variance m_p + m_p^2 / r_p, r the size.

    It is a Poisson law whose rate is Gamma distributed, r its shape. [..., P] -> [...].
    """
    return _negative_binomial(x, log_mean, log_size).sum(-1)


def zero_inflated_log_prob(x: Tensor, log_mean: Tensor, log_size: Tensor, logits: Tensor) -> Tensor:
    """The same, where x_p is 0 with the probability sigmoid(logits_p) whatever the law gives."""
    counted = _negative_binomial(x, log_mean, log_size) + F.logsigmoid(-logits)
    zero = torch.logaddexp(counted, F.logsigmoid(logits))
    return torch.where(x == 0, zero, counted).sum(-1)


def _poisson(x: Tensor, log_rate: Tensor) -> Tensor:
    """Elementwise: for x >= 1 what a rate of x gives, less what the distance from it costs."""
    at_least_1 = x.clamp(min=1.0)
    ratio = log_rate - at_least_1.log()
    positive = at_least_1 * (ratio - torch.expm1(ratio)) - _at_its_mean(at_least_1)
    return torch.where(x == 0, -log_rate.exp(), positive)


def _at_its_mean(x: Tensor) -> Tensor:
    """Minus the log-probability that a Poisson law of rate x gives x >= 1: elementwise."""
    return 0.5 * (LOG_2PI + x.log()) + stirling_remainder(x)


def _negative_binomial(x: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """Elementwise; as the size grows, the Poisson law digit by digit."""
    size, at_least_1 = log_size.exp(), x.clamp(min=1.0)
    away = _away_from_mean(at_least_1, size, log_mean - at_least_1.log())
    spread = 0.5 * torch.log1p(at_least_1 / size)
    remainder = stirling_remainder(at_least_1 + size) - stirling_remainder(size)
    positive = remainder - spread - away - _at_its_mean(at_least_1)
    return torch.where(x == 0, -size * F.softplus(log_mean - log_size), positive)


def _away_from_mean(x: Tensor, size: Tensor, ratio: Tensor) -> Tensor:
    """(x + r) log((r + m) / (r + x)) - x ratio for the mean m = x exp(ratio): 0 at ratio 0.

    Written from the smaller of x and r, whose share w of both is at most 1/2: nothing cancels.
    """
    less, both = torch.minimum(x, size), x + size
    away = torch.where(size < x, -ratio, ratio)
    share = less / both
    near = torch.log1p(share * torch.expm1(away.clamp(max=STEEP)))
    far = F.softplus(away + share.log())  # without the overflow of exp
    return both * torch.where(away > STEEP, far, near) - less * away
