"""95% sampling intervals of numbers that are computed from sets of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Z = 1.959963984540054
"""The 97.5% point of the standard normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A number for each of S sets of images, with its 95% sampling interval."""

    value: Tensor  # [S]
    low: Tensor  # [S]
    high: Tensor  # [S]
    parts: Tensor | None = None  # [S, n] what the value is the mean of


def normal(value: Tensor, variance: Tensor) -> Estimate:
    """A value [S] with the normal interval of its sampling variance [S]."""
    margin = Z * variance.sqrt()
    return Estimate(value, value - margin, value + margin)


def share(hits: Tensor, variance: Tensor | None = None) -> Estimate:
    """The share of hits [S, n], with the interval of Wilson 1927, within [0, 1].

    Of independent hits, or where a variance [S] of the share is given of as many independent ones
    as have it (Korn & Graubard 1998), though of no more than n. For that number two hits and two
    misses are added, as all or none would else have no variance (Agresti & Coull 1998).
    """
    hits = hits.double()
    value, num = hits.mean(-1), hits.shape[-1]
    counted = torch.full_like(value, num)
    if variance is not None:
        shrunk = (value * num + 2) / (num + 4)
        counted = torch.minimum(counted, shrunk * (1 - shrunk) / variance)
    return Estimate(value, *_wilson(value, counted), hits)


def _wilson(value: Tensor, num: Tensor) -> tuple[Tensor, Tensor]:
    """Both ends of the intervals of shares [S] that are of `num` [S] observations each."""
    centre = (value + Z**2 / (2 * num)) / (1 + Z**2 / num)
    spread = (value * (1 - value) / num + Z**2 / (4 * num**2)).sqrt()
    margin = Z * spread / (1 + Z**2 / num)
    # At 0 and at 1 an end is the value itself, up to rounding.
    low, high = torch.minimum(centre - margin, value), torch.maximum(centre + margin, value)
    return low.clamp(min=0), high.clamp(max=1)


def jackknife(left_out: Tensor) -> Tensor:
    """The variance of a figure, from its values with each of a set left out: [n, ...] -> [...].

    Efron & Stein 1981: on average no less than that of a figure of n - 1 images.
    """
    return (len(left_out) - 1) * left_out.var(0, correction=0)


def joined(estimates: list[Estimate]) -> Estimate:
    """The estimates of single runs, side by side: S of shape [1] -> [S]."""
    parts = [e.parts for e in estimates if e.parts is not None]
    return Estimate(
        torch.cat([e.value for e in estimates]),
        torch.cat([e.low for e in estimates]),
        torch.cat([e.high for e in estimates]),
        torch.cat(parts) if parts else None,
    )
