"""Objectives that bring the covariance of q(z), averaged over the data, to the identity."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.terms import Terms
from vaebench.objectives.entry import SameAs, objective


def _away_from_identity(covariance: Tensor, off_diagonal: Scalar, diagonal: Scalar) -> Tensor:
    """Kumar et al. 2018, eq. 6: weighted squares of [S, D, D] less the identity; [S, 1]."""
    on = covariance.diagonal(dim1=-2, dim2=-1)
    off_squares = covariance.square().sum((-1, -2)) - on.square().sum(-1)
    return off_diagonal * off_squares[:, None] + diagonal * (on - 1.0).square().sum(-1)[:, None]


def _covariance(mu: Tensor) -> Tensor:
    """The covariance of the means over the minibatch, divided by B: [S, B, D] -> [S, D, D]."""
    centred = mu - mu.mean(1, keepdim=True)
    return centred.mT @ centred / mu.shape[1]


DipWeight = Annotated[Scalar, Hyper((1.0, 100.0), log=True, low=0.0)]


@objective(
    source="Kumar et al. 2018, eq. 6, DIP-VAE-I",
    bound="lower",
    same_as=(SameAs("elbo", at={"off_diagonal": 0.0, "diagonal": 0.0}),),
    of_batch=True,
    penalises={
        "off_diagonal": lambda a: a.off_diagonal_squares(a.mean_covariance),
        "diagonal": lambda a: a.diagonal_squares(a.mean_covariance),
    },
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \mathcal{R} + \lambda_{od} \sum_{i \neq j} "
        r"V_{ij}^2 + \lambda_d \sum_{i} \left( V_{ii} - 1 \right)^2, \qquad V = "
        r"\mathrm{Cov}_x[\mu(x)]",
        wrong_when="Where the variances of q(z|x) matter: it moves the means alone. "
        "Covariances of a small minibatch are noisy, and their squares too "
        "large.",
        cost="the D x D covariance of a minibatch",
    ),
)
def dip_vae_i(t: Terms, *, off_diagonal: DipWeight = 10.0, diagonal: DipWeight = 100.0) -> Tensor:
    """The ELBO plus penalties that bring the covariance of the means to the identity: [S, B] nats.

    Variances of q(z|x) are free, so that E[z z'] may still be anything.
    """
    penalty = _away_from_identity(_covariance(t.mu), off_diagonal, diagonal)
    return t.distortion + t.rate + penalty


@objective(
    source="Kumar et al. 2018, eq. 7, DIP-VAE-II",
    bound="lower",
    same_as=(SameAs("elbo", at={"off_diagonal": 0.0, "diagonal": 0.0}),),
    of_batch=True,
    penalises={
        "off_diagonal": lambda a: a.off_diagonal_squares(a.covariance),
        "diagonal": lambda a: a.diagonal_squares(a.covariance),
    },
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \mathcal{R} + \lambda_{od} \sum_{i \neq j} "
        r"V_{ij}^2 + \lambda_d \sum_{i} \left( V_{ii} - 1 \right)^2, \qquad V = "
        r"\mathrm{Cov}_x[\mu(x)] + \frac{1}{B} \sum_{b=1}^{B} "
        r"\mathrm{diag}(\sigma^2(x_b))",
        wrong_when="Against dependence beyond second moments, which it does not see. "
        "Covariances of a small minibatch are noisy, and their squares too "
        "large.",
        cost="the D x D covariance of a minibatch",
    ),
)
def dip_vae_ii(t: Terms, *, off_diagonal: DipWeight = 10.0, diagonal: DipWeight = 10.0) -> Tensor:
    """The ELBO plus penalties that bring the covariance of q(z) to the identity: [S, B] nats.

    Second moments only: dependence of a higher order is free. Noisy in small minibatches.
    """
    covariance = _covariance(t.mu) + torch.diag_embed(t.log_var.exp().mean(1))
    return t.distortion + t.rate + _away_from_identity(covariance, off_diagonal, diagonal)
