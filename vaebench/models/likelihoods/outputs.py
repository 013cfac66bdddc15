"""How a decoder's raw numbers and a run's parameters become the parameters of a density."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.hyper import Scalar
from vaebench.ops.noise import Noise, normals, uniforms


def per_run(value: Scalar, out: Tensor) -> Tensor:
    """A float, or [S, 1] with one value per run, as a tensor that broadcasts with [K, S, B, P]."""
    return torch.as_tensor(value, dtype=out.dtype, device=out.device).unsqueeze(-1)


OPEN = 2.0**-32, 1.0 - 2.0**-24
"""Ends of what stands for a uniform variable in the open (0, 1), where its quantiles are finite."""


def uniforms_beside(mean: Tensor, noise: Noise) -> Tensor:
    """Uniform variables in the open (0, 1), one for each pixel of [K, S, B, P]."""
    num_samples, _, num_rows, num_pixels = mean.shape
    each = [
        uniforms(noise.at(sample=noise.first_sample + k), num_rows, num_pixels)
        for k in range(num_samples)
    ]
    return torch.stack(each).to(mean).clamp(*OPEN)


def normals_beside(mean: Tensor, noise: Noise) -> Tensor:
    """Standard normals, one for each pixel of [K, S, B, P]."""
    num_samples, _, num_rows, num_pixels = mean.shape
    return normals(noise, num_samples, num_rows, num_pixels).to(mean)


def soft_floor(raw: Tensor, low: float) -> Tensor:
    """low + softplus(raw - low): above low, and close to raw where raw is well above it.

    The softclip of Rybkin et al. 2021's code. logsigmoid is softplus without its cut-off at 20.
    """
    return low - F.logsigmoid(low - raw)


def soft_ceiling(raw: Tensor, high: float) -> Tensor:
    """Below high, and close to raw where raw is well below it."""
    return -soft_floor(-raw, -high)


def identity(out: Tensor) -> Tensor:
    """The mean of a density whose one output per pixel is its mean."""
    return out


def location(out: Tensor) -> Tensor:
    """The mean of a density whose two outputs per pixel are its mean and its scale."""
    return out.chunk(2, dim=-1)[0]
