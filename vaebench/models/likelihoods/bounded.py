"""Densities of intensities between 0 and 1.

Shapes: x [S, B, P], out [K, S, B, n * P], result [K, S, B]. On values from a finite set, such as
images of 8 bits, a density can grow without limit: dequantise to compare it with a mass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About
from vaebench.models.likelihoods.entry import likelihood
from vaebench.models.likelihoods.outputs import OPEN, soft_floor, uniforms_beside
from vaebench.models.likelihoods.scales import like_probabilities
from vaebench.models.likelihoods.supports import OPEN_UNIT, UNIT
from vaebench.ops import densities
from vaebench.ops.noise import Noise

MIN_SHAPE = 0.1
"""The least parameter of a beta law. With 0.1, half of the mass lies within 0.001 of the end, finer
than 8 bits; below that, uniform dequantisation loses more than the sharper end gains."""


def _continuous_bernoulli_sample(out: Tensor, noise: Noise) -> Tensor:
    """The inverse of the distribution function, from the end of [0, 1] where the mode is."""
    rate = out.abs().clamp_min(1e-30)  # 0 itself, the uniform law, would give 0 / 0
    u = uniforms_beside(out, noise)
    from_mode = (-torch.log1p(u * torch.expm1(-rate)) / rate).clamp(0.0, 1.0)
    return torch.where(out > 0, 1.0 - from_mode, from_mode)


@likelihood(
    source="Loaiza-Ganem & Cunningham 2019",
    measure="density",
    support=UNIT,
    mean=densities.continuous_bernoulli_mean,
    sample=_continuous_bernoulli_sample,
    doubt=like_probabilities,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( x_p o_p + \log \frac{o_p}{e^{o_p} - "
        r"1} \right), \qquad 0 \le x_p \le 1",
        wrong_when="On black-and-white images: the density at 0 and 1 grows without limit "
        "as the logits do, and says nothing of a probability. The mean is not "
        "the sigmoid of the logits.",
    ),
)
def continuous_bernoulli(x: Tensor, out: Tensor) -> Tensor:
    """Density C exp(x * out) on [0, 1]; out is the logit of the paper's lambda.

    It is the Bernoulli formula for grey pixels with the constant that makes it a likelihood. The
    mean is not the sigmoid of out.
    """
    return ops.continuous_bernoulli_log_prob(x, out)


def _shapes(out: Tensor) -> tuple[Tensor, Tensor]:
    """Both parameters of the beta law: [K, S, B, 2P] -> [K, S, B, P] twice."""
    a, b = soft_floor(out, MIN_SHAPE).chunk(2, dim=-1)
    return a, b


def _beta_mean(out: Tensor) -> Tensor:
    a, b = _shapes(out)
    return a / (a + b)


def _beta_sample(out: Tensor, noise: Noise) -> Tensor:
    """The inverse of the distribution function, in float64, kept off the ends of (0, 1)."""
    from scipy.special import betaincinv

    a, b = _shapes(out)
    arrays = (tensor.double().cpu().numpy() for tensor in (a, b, uniforms_beside(a, noise)))
    return torch.from_numpy(betaincinv(*arrays)).clamp(*OPEN).to(out)


@likelihood(
    source="the beta law, parameters by softplus",
    measure="density",
    support=OPEN_UNIT,
    mean=_beta_mean,
    sample=_beta_sample,
    outputs_per_pixel=2,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( (a_p - 1) \log x_p + (b_p - 1) "
        r"\log(1 - x_p) + \log \frac{\Gamma(a_p + b_p)}{\Gamma(a_p) \Gamma(b_p)} "
        r"\right)",
        wrong_when="On images with exact black or white, which must be dequantised. Near "
        "the ends the density may grow without limit.",
    ),
)
def beta(x: Tensor, out: Tensor) -> Tensor:
    """Independent Beta(a, b): the decoder gives every pixel's a and b, softly above 0.1.

    Infinite or zero at 0 and 1, so that images with exact black or white must be dequantised.
    """
    return densities.beta_log_prob(x, *_shapes(out))
