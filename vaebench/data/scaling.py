"""Standardisation: each pixel with mean 0 and variance 1 over the training part."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vaebench.data.images import Images
from vaebench.data.parts import Part, Parts
from vaebench.ops.images import Scaling


def standardised(parts: Parts) -> Parts:
    """The same parts, scaled as they are read, by the moments of the training part alone."""
    scaling = fitted(parts.train.images)
    return Parts(*(_scaled(part, scaling) for part in parts))


def fitted(images: Images) -> Scaling:
    """Mean and standard deviation of each pixel, of float32: [P] each.

    A pixel with one value throughout is only shifted: its scale is 1.
    """
    num = len(images)
    mean = _sum(images, torch.zeros(images.num_pixels, dtype=torch.float64), 1) / num
    deviation = (_sum(images, mean, 2) / num).sqrt()
    varies = deviation > 1e-6 * mean.abs().clamp_min(torch.finfo(torch.float32).tiny)
    return Scaling(mean.float(), torch.where(varies, deviation, 1.0).float())


def _sum(images: Images, centre: Tensor, power: int) -> Tensor:
    """The sum over all images of a power of each pixel's distance from a centre, in float64."""
    total = torch.zeros_like(centre)
    for rows in images.chunks():
        total += (rows.double() - centre).pow(power).sum(0)
    return total


def _scaled(part: Part, scaling: Scaling) -> Part:
    images = part.images
    return replace(part, images=replace(images, reading=images.reading._replace(scaling=scaling)))
