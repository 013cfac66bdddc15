"""Objectives that bring q(z), the mean of q(z|x) over the data, to the prior by their MMD."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.hyper import Hyper, Scalar, with_axis
from vaebench.models.terms import Terms
from vaebench.objectives.entry import SameAs, objective
from vaebench.ops import densities

Width = Annotated[Scalar, Hyper(low=0.01)]


@objective(
    source="Zhao et al. 2019, the InfoVAE objective, with MMD as the divergence",
    bound="none",
    same_as=(SameAs("elbo", at={"alpha": 0.0, "lam": 1.0}),),
    of_batch=True,
    penalises={
        "alpha": lambda a: a.rbf_mmd(1.0 / (2.0 * a.latent_dim)) - a.rate,
        "lam": lambda a: a.rbf_mmd(1.0 / (2.0 * a.latent_dim)),
    },
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + (1 - \alpha) \mathcal{R} + (\alpha + "
        r"\lambda - 1) \, \widehat{\mathrm{MMD}}^2, \qquad k(z, z') = \exp\left( "
        r"-\frac{|z - z'|^2}{2 s^2 D} \right), \qquad \lambda = \text{lam}, \; s "
        r"= \text{width}",
        wrong_when="In small minibatches: the estimate of the MMD is noisy, and below 0 at "
        "times. The MMD is no number of nats, so lam has no scale that carries "
        "over to other data.",
        cost="3 B^2 kernel values for each sample, and B draws from the prior",
    ),
)
def info_vae(
    t: Terms,
    *,
    alpha: Annotated[Scalar, Hyper((0.0, 1.0), high=1.0)] = 0.0,
    lam: Annotated[Scalar, Hyper((1.0, 1000.0), log=True, low=0.0)] = 10.0,
    width: Width = 1.0,
) -> Tensor:
    """Distortion plus (1 - alpha) rate plus (alpha + lam - 1) MMD^2 of q(z) and p(z): [S, B] nats.

    The kernel is exp(-d^2 / (2 width^2 D)), the estimate unbiased over the minibatch, which makes
    it noisy, and below 0 at times. MMD^2 is no number of nats: lam is what makes it one. The
    paper's MMD-VAE is alpha = 1, without a rate.
    """
    scale = 1.0 / (2.0 * t.z.shape[-1] * _squared(with_axis(width)))
    mmd = densities.squared_mmd(t.z, t.prior_z, lambda squared: torch.exp(-scale * squared))
    weight = alpha + lam - 1.0
    return t.distortion + (1.0 - alpha) * t.rate + weight * mmd.mean(0)[:, None]


@objective(
    source="Tolstikhin et al. 2018, algorithm 2 and section 4, inverse multiquadratics kernel",
    bound="none",
    same_as=(SameAs("reconstruction_only", at={"lam": 0.0}),),
    ignores_rate=True,
    of_batch=True,
    penalises={"lam": lambda a: a.imq_mmd(2.0 * a.latent_dim)},
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \lambda \, \widehat{\mathrm{MMD}}^2, \qquad "
        r"k(z, z') = \frac{C}{C + |z - z'|^2}, \; C = 2 D s^2, \qquad \lambda = "
        r"\text{lam}, \; s = \text{width}",
        wrong_when="As a model of the likelihood: nothing keeps q(z|x) from being as narrow "
        "as it likes, so the ELBO and the NLL that it is graded by may be poor "
        "however good the images.",
        cost="3 B^2 kernel values for each sample, and B draws from the prior",
    ),
)
def wae_mmd(
    t: Terms,
    *,
    lam: Annotated[Scalar, Hyper((1.0, 1000.0), log=True, low=0.0)] = 10.0,
    width: Width = 1.0,
) -> Tensor:
    """Distortion plus lam MMD^2 of q(z) and p(z), no rate: [S, B] nats.

    The kernel is C / (C + d^2), C = 2 D width^2, the estimate unbiased over the minibatch. Nothing
    keeps q(z|x) from the narrowest: then its rate, and the ELBO it is graded by, grow without end.
    """
    c = 2.0 * t.z.shape[-1] * _squared(with_axis(width))
    mmd = densities.squared_mmd(t.z, t.prior_z, lambda squared: c / (c + squared))
    return t.distortion + lam * mmd.mean(0)[:, None]


def _squared(value: Scalar) -> Scalar:
    return value * value
