"""95% sampling intervals of figures that are made from images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Z = 1.959963984540054
"""The 97.5% point of the standard normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """One figure of S sets of images, and where others of their size would put it."""

    value: Tensor  # [S]
    low: Tensor  # [S]
    high: Tensor  # [S]
    parts: Tensor | None = None  # [S, n] what the value is the mean of


def normal(value: Tensor, variance: Tensor) -> Estimate:
    """A value [S] of the given sampling variance [S]."""
    margin = Z * variance.sqrt()
    return Estimate(value, value - margin, value + margin)


def mean(parts: Tensor) -> Estimate:
    """The mean of independent parts [S, n], by the central limit theorem."""
    parts = parts.double()
    return normal(parts.mean(-1), parts.var(-1) / parts.shape[-1])


def share(hits: Tensor) -> Estimate:
    """The share of independent hits [S, n], with the interval of Wilson 1927, within [0, 1]."""
    hits = hits.double()
    num, value = hits.shape[-1], hits.mean(-1)
    centre = (value + Z**2 / (2 * num)) / (1 + Z**2 / num)
    spread = (value * (1 - value) / num + Z**2 / (4 * num**2)).sqrt()
    margin = Z * spread / (1 + Z**2 / num)
    # At 0 and at 1 an end is the value itself, up to rounding.
    low, high = torch.minimum(centre - margin, value), torch.maximum(centre + margin, value)
    return Estimate(value, low.clamp(min=0), high.clamp(max=1), hits)


def joined(estimates: list[Estimate]) -> Estimate:
    """Estimates of some runs each as one of all: S of shape [1] -> [S]."""
    parts = [e.parts for e in estimates if e.parts is not None]
    return Estimate(
        torch.cat([e.value for e in estimates]),
        torch.cat([e.low for e in estimates]),
        torch.cat([e.high for e in estimates]),
        torch.cat(parts) if parts else None,
    )
