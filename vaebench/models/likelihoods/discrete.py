"""Likelihoods of 8-bit pixels, whose intensities are the levels k / 255: probabilities, not
densities, so that bits per dimension are theirs.

Shapes: x [S, B, P], out [K, S, B, n * P], result [K, S, B].
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About, Limit
from vaebench.models.likelihoods.entry import likelihood
from vaebench.models.likelihoods.outputs import soft_floor, uniforms_beside
from vaebench.models.likelihoods.scales import like_scales, like_shares
from vaebench.models.likelihoods.supports import EIGHT_BIT
from vaebench.ops import densities
from vaebench.ops.densities import NUM_LEVELS
from vaebench.ops.noise import Noise

MIN_LOG_SCALE = -7.7
"""PixelCNN++'s limit of -7 is for images in [-1, 1], whose bins are twice as wide."""
NUM_COMPONENTS = 5


def _logistic(out: Tensor) -> tuple[Tensor, Tensor]:
    """Location and log scale of one logistic per pixel: [K, S, B, 2P] -> [K, S, B, P] twice."""
    loc, raw = out.chunk(2, dim=-1)
    return loc, soft_floor(raw, MIN_LOG_SCALE)


def _logistic_mean(out: Tensor) -> Tensor:
    return densities.discretised_logistic_mean(*_logistic(out))


def _on_nearest_level(y: Tensor) -> Tensor:
    """The level k / 255 in whose bin y lies; beyond 0 and 1 the outermost."""
    return densities.nearest_level(y.clamp(0.0, 1.0)) / (NUM_LEVELS - 1)


def _logistic_sample(out: Tensor, noise: Noise) -> Tensor:
    loc, log_scale = _logistic(out)
    return _on_nearest_level(loc + log_scale.exp() * uniforms_beside(loc, noise).logit())


@likelihood(
    source="Salimans et al. 2017, eq. 2, with one component",
    measure="mass",
    support=EIGHT_BIT,
    mean=_logistic_mean,
    sample=_logistic_sample,
    outputs_per_pixel=2,
    doubt=like_scales,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \log \left( F\left( \frac{x_p + "
        r"\frac{1}{510} - m_p}{s_p} \right) - F\left( \frac{x_p - \frac{1}{510} - "
        r"m_p}{s_p} \right) \right), \qquad F(t) = \frac{1}{1 + e^{-t}}; \text{ "
        r"the first } F \text{ is } 1 \text{ at } x_p = 1, \text{ the second } 0 "
        r"\text{ at } x_p = 0",
        wrong_when="On pixels with two likely values far apart: one bump has to cover both, "
        "and what is between.",
        limits=(Limit("categorical", "the 256 logits are the log masses of the levels"),),
    ),
)
def discretised_logistic(x: Tensor, out: Tensor) -> Tensor:
    """The mass of a logistic law in the bin of each level; 0 and 1 take the tails.

    The decoder gives every pixel's location, in the units of x, and log scale, softly above -7.7.
    """
    return ops.discretised_logistic_log_prob(x, *_logistic(out))


def _mixture(out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, location and log scale: [K, S, B, 3MP] -> [K, S, B, M, P] three times."""
    logits, loc, raw = out.unflatten(-1, (3, NUM_COMPONENTS, -1)).unbind(-3)
    return logits, loc, soft_floor(raw, MIN_LOG_SCALE)


def _mixture_mean(out: Tensor) -> Tensor:
    logits, loc, log_scale = _mixture(out)
    means = densities.discretised_logistic_mean(loc, log_scale)
    return (logits.softmax(-2) * means).sum(-2)


def _mixture_sample(out: Tensor, noise: Noise) -> Tensor:
    """A component by its weight, then a level of it. Other counters for each draw."""
    logits, loc, log_scale = _mixture(out)
    u = uniforms_beside(loc[..., 0, :], noise)
    chosen = _drawn_class(logits, uniforms_beside(u, noise.at(step=noise.step + 1)))
    loc, log_scale = (t.gather(-2, chosen).squeeze(-2) for t in (loc, log_scale))
    return _on_nearest_level(loc + log_scale.exp() * u.logit())


def _drawn_class(logits: Tensor, u: Tensor) -> Tensor:
    """One of C classes by the inverse of its distribution function: [..., C, P] -> [..., 1, P]."""
    below = logits.softmax(-2).cumsum(-2)[..., :-1, :] < u.unsqueeze(-2)
    return below.sum(-2, keepdim=True)


@likelihood(
    source="Salimans et al. 2017, eq. 2, without the coupling of colour channels",
    measure="mass",
    support=EIGHT_BIT,
    mean=_mixture_mean,
    sample=_mixture_sample,
    outputs_per_pixel=3 * NUM_COMPONENTS,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \log \sum_{c=1}^{5} \pi_{pc} \left( "
        r"F\left( \frac{x_p + \frac{1}{510} - m_{pc}}{s_{pc}} \right) - F\left( "
        r"\frac{x_p - \frac{1}{510} - m_{pc}}{s_{pc}} \right) \right), \qquad F(t) "
        r"= \frac{1}{1 + e^{-t}}, \text{ with tails at 0 and 1 as for one component}",
        wrong_when="Beside PixelCNN++ on colour images: here the channels of a pixel are "
        "independent given z.",
        limits=(Limit("discretised_logistic", "all components are alike"),),
    ),
)
def discretised_logistic_mixture(x: Tensor, out: Tensor) -> Tensor:
    """A mixture of five discretised logistics for every pixel, each pixel on its own.

    The decoder gives five logits, five locations and five log scales a pixel. Colour channels are
    independent given z, where PixelCNN++ lets green depend on red and blue on both: its numbers
    on colour images are not comparable.
    """
    return densities.discretised_logistic_mixture_log_prob(x, *_mixture(out))


def _logits(out: Tensor) -> Tensor:
    """[K, S, B, 256P] -> [K, S, B, 256, P]."""
    return out.unflatten(-1, (NUM_LEVELS, -1))


def _categorical_mean(out: Tensor) -> Tensor:
    levels = torch.linspace(0.0, 1.0, NUM_LEVELS, dtype=out.dtype, device=out.device)
    return (_logits(out).softmax(-2) * levels.unsqueeze(-1)).sum(-2)


def _categorical_sample(out: Tensor, noise: Noise) -> Tensor:
    logits = _logits(out)
    u = uniforms_beside(logits[..., 0, :], noise)
    return _drawn_class(logits, u).squeeze(-2).to(out) / (NUM_LEVELS - 1)


@likelihood(
    source="van den Oord et al. 2016 (PixelRNN), the softmax over 256 values",
    measure="mass",
    support=EIGHT_BIT,
    mean=_categorical_mean,
    sample=_categorical_sample,
    outputs_per_pixel=NUM_LEVELS,
    doubt=like_shares(NUM_LEVELS),
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( o_{p, 255 x_p} - \log "
        r"\sum_{c=0}^{255} e^{o_{pc}} \right)",
        wrong_when="On few data: it has to learn that neighbouring levels are alike.",
        cost="a last layer of the decoder that is 256 times as large as for one number a pixel",
    ),
)
def categorical(x: Tensor, out: Tensor) -> Tensor:
    """Any distribution over the 256 levels: the decoder gives 256 logits a pixel.

    That neighbouring levels are alike has to be learned, and the decoder's last layer is 256
    times as large.
    """
    return densities.categorical_log_prob(densities.nearest_level(x), _logits(out))
