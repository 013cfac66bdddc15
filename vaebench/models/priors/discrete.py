"""Priors over discrete codes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.about import About, Limit
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.posteriors.categorical import Categorical
from vaebench.models.priors.entry import PriorShape, prior
from vaebench.ops import densities
from vaebench.ops.noise import Noise, gumbels


def _code_scores(noise: Noise, shape: PriorShape) -> Tensor:
    return torch.zeros(len(noise.keys), shape.latent.dim, shape.latent.num_classes)


def _sample_codes(
    noise: Noise, num_rows: int, latent: Latent, *, scores: Tensor | None = None
) -> Tensor:
    """One-hot codes [S, n, D C] by scores [S, D, C], or even ones."""
    g = gumbels(noise, 1, num_rows, latent.dim * latent.num_classes)[0]
    g = g.unflatten(-1, (latent.dim, latent.num_classes))
    drawn = g if scores is None else g.to(scores) + scores[:, None]
    return F.one_hot(drawn.argmax(-1), latent.num_classes).to(drawn).flatten(-2)


def _codes_kl_per_variable(q: Distribution, scores: Tensor | None = None) -> Tensor | None:
    """KL[q || p] of every variable [S, B, D]: p of scores [S, D, C], or even."""
    match q:
        case Categorical(log_probs):
            even = torch.zeros_like(log_probs[:, :1])
            log_p = torch.log_softmax(even if scores is None else scores[:, None], -1)
            return densities.categorical_kl(log_probs, log_p)
    return None


def _codes_kl(q: Distribution, scores: Tensor | None = None) -> Tensor | None:
    parts = _codes_kl_per_variable(q, scores)
    return None if parts is None else parts.sum(-1)


@prior(
    source="Jang et al. 2017, section 4.2",
    sample=_sample_codes,
    kl=_codes_kl,
    kl_per_dimension=_codes_kl_per_variable,
    discrete=True,
    about=About(
        formula=r"\log p(z) = -D \log C",
        wrong_when="Where some values of a variable are more frequent than others: the rate "
        "then pays for what a learned prior would know.",
    ),
)
def uniform_categorical(z: Tensor) -> Tensor:
    """Every value of every variable alike: -D log C, of codes that hold D ones in D C places."""
    num_variables = z.sum(-1)
    return -num_variables * torch.log(z.shape[-1] / num_variables)


@prior(
    source="Jang et al. 2017, section 4.2, trained as in its last version",
    sample=_sample_codes,
    kl=_codes_kl,
    kl_per_dimension=_codes_kl_per_variable,
    learned={"scores": _code_scores},
    discrete=True,
    about=About(
        formula=r"\log p(z) = \sum_{d=1}^{D} \sum_{c=1}^{C} z_{dc} \log p_{dc}",
        wrong_when="Where variables depend on each other: the prior takes them as independent.",
        limits=(Limit("uniform_categorical", "the scores of a variable are alike"),),
    ),
)
def learned_categorical(z: Tensor, *, scores: Tensor) -> Tensor:
    """Independent variables, the probabilities of their values trained with the model."""
    log_p = torch.log_softmax(scores, -1).flatten(1)[:, None]  # [S, 1, D C]
    return (z * log_p).sum(-1)
