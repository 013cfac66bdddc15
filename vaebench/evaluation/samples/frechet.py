"""The Frechet distance between Gaussians with the moments of two sets of features.

Shapes: features of S models [S, n, F], of real images [m, F]; all in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.evaluation.samples.intervals import Estimate, normal

NULL_VARIANCE = 1e-12
"""Share of a covariance's largest eigenvalue below which others are rounding errors."""
NULL_SCALE = 1e-7
"""The same for their square roots, which have half the digits."""


@dataclass(frozen=True)
class Gaussian:
    """The moments of real features, prepared for distances to them."""

    mean: Tensor  # [F]
    rows: Tensor  # [m, F] less the mean
    root: Tensor  # [F, F] the symmetric root of the covariance
    white: Tensor  # [m, F] the rows times the inverse of the root, within its range


def gaussian(features: Tensor) -> Gaussian:
    """The moments of real features [m, F]; the covariance is the unbiased one."""
    mean = features.mean(0)
    rows = features - mean
    variances, axes = torch.linalg.eigh(rows.mT @ rows / (len(rows) - 1))
    scales = variances.clamp(min=0).sqrt()
    kept = variances > NULL_VARIANCE * variances[-1]
    inverse = torch.where(kept, 1 / scales, 0.0)
    return Gaussian(mean, rows, axes * scales @ axes.mT, rows @ (axes * inverse) @ axes.mT)


def frechet(real: Gaussian, features: Tensor) -> Estimate:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, eq. 6): [S, n, F] -> [S].

    The trace of the root is the sum of the roots of the eigenvalues of C2^(1/2) C1 C2^(1/2). With
    few images the distance is biased upward (Chong & Forsyth 2020); the interval is that of its
    value over other images, of both kinds, by its linear part, so the bias is in it.
    """
    num = features.shape[1]
    mean = features.mean(1, keepdim=True)
    rows, shift = features - mean, (mean - real.mean).mT  # [S, n, F], [S, F, 1]
    turned = rows @ real.root
    variances, axes = torch.linalg.eigh(turned.mT @ turned / (num - 1))
    scales = variances.clamp(min=0).sqrt()
    spread = rows.square().sum((1, 2)) / (num - 1)
    spread = spread + real.rows.square().sum() / (len(real.rows) - 1)
    value = shift.square().sum((1, 2)) + spread - 2 * scales.sum(-1)
    kept = scales > NULL_SCALE * scales[:, -1:]
    inverse = torch.where(kept, 1 / scales, 0.0)
    ours = _influence(rows, shift, turned @ axes, inverse)
    theirs = _influence(real.rows, -shift, real.white @ axes, scales)
    variance = ours.var(-1) / num + theirs.var(-1) / len(real.rows)
    distance = normal(value.clamp(min=0), variance)
    return Estimate(distance.value, distance.low.clamp(min=0), distance.high)


def _influence(rows: Tensor, shift: Tensor, turned: Tensor, weights: Tensor) -> Tensor:
    """The derivative of the distance in the weight of each image [S, n], up to a constant.

    A row x adds 2 shift.x + x (I - T) x, with T the optimal transport map between the Gaussians:
    the derivative of -2 tr((C1 C2)^(1/2)) in C1 is -T (Takatsu 2011).
    """
    linear = 2 * (rows @ shift).squeeze(-1)
    moved = (turned.square() @ weights[..., None]).squeeze(-1)
    return linear + rows.square().sum(-1) - moved
