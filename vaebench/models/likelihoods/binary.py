"""Likelihoods of pixels in {0, 1}. Shapes: x [S, B, P], out [K, S, B, P], result [K, S, B]."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About
from vaebench.models.likelihoods.entry import likelihood
from vaebench.models.likelihoods.outputs import uniforms_beside
from vaebench.models.likelihoods.scales import like_probabilities
from vaebench.models.likelihoods.supports import BINARY
from vaebench.ops.noise import Noise


def _bernoulli_sample(out: Tensor, noise: Noise) -> Tensor:
    return (uniforms_beside(out, noise) < torch.sigmoid(out)).to(out)


def _log_odds(mean: Tensor) -> Tensor:
    """The log-odds of means kept in [0.001, 0.999]: always black pixels get no infinite bias."""
    return mean.clamp(0.001, 0.999).logit()


@likelihood(
    source="Kingma & Welling 2014, appendix C.1",
    measure="mass",
    support=BINARY,
    mean=torch.sigmoid,
    sample=_bernoulli_sample,
    outputs_at=_log_odds,
    doubt=like_probabilities,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( x_p \log \rho_p + (1 - x_p) \log(1 "
        r"- \rho_p) \right), \qquad \rho_p = \frac{1}{1 + e^{-o_p}}",
        wrong_when="On grey pixels, where the same formula is no likelihood: binarise, or "
        "take `continuous_bernoulli`. Its numbers are probabilities and cannot "
        "be held against densities.",
    ),
)
def bernoulli(x: Tensor, out: Tensor) -> Tensor:
    """Independent pixels in {0, 1}; the decoder gives logits.

    On grey pixels the same formula is no likelihood: use continuous_bernoulli.
    """
    return ops.bernoulli_log_prob(x, out)
