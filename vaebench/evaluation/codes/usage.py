"""How much of the latent space is used: active and collapsed dimensions, rate, reconstruction."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.errors import InputError
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.codes.layers import of_layers
from vaebench.evaluation.grading import Grade, Graded, Subject, grading
from vaebench.models.posteriors import Distribution, Drawing
from vaebench.models.priors import BoundPrior
from vaebench.ops import densities
from vaebench.ops.noise import Noise

ACTIVE = 0.01
"""A dimension is active where the variance of its posterior mean over the data is above this."""
EPSILON, DELTA = 0.01, 0.01
"""A dimension is collapsed where its KL is below EPSILON nats for all but a share of DELTA."""
NUM_MEAN_SAMPLES = 64
"""Samples that a posterior mean without a formula is taken over, as of a flow. Two halves of them
tell what varies over the data from what varies from sample to sample."""
MEAN = f"posterior mean (of {NUM_MEAN_SAMPLES} samples where it has no formula)"


NO_FORMULA = "the KL of posterior and prior has no formula for each dimension"


class Used(NamedTuple):
    """What the posteriors of N images in S runs show of the use of the latent space."""

    halves: tuple[Tensor, Tensor]  # [S, N, D] posterior means, each from half of the samples
    kl: Tensor | None  # [S, N, D] KL[q(z_d|x) || p(z_d)], None where it has no formula
    error: Tensor  # [S] squared error of E[x|z] at the posterior mean, per pixel


@grading(
    source="Burda et al. 2016, section 5.2; Lucas et al. 2019",
    about=About(
        formula=r"\mathrm{AU} = \left| \left\{ d : \mathrm{Var}_x\left( E[z_d|x] \right) "
        r"> 0.01 \right\} \right|",
        wrong_when="As a measure of how much a dimension says: just above the threshold "
        "counts like far above. Look at the rate of each dimension beside it.",
    ),
)
def latent(subject: Subject) -> list[Grade]:
    """Active and collapsed dimensions, the rate of each, and what the posterior mean gives back."""
    x = subject.observed("test")
    used = reconstructed(subject.model, x, subject.noise)
    active = f"test, variance of the {MEAN} > {ACTIVE}"
    return [
        Grade("active_units", active_units(*used.halves), active),
        Grade("mse", used.error, f"test, x against E[x|z] at the {MEAN}, per pixel"),
        *_of_dimensions(subject.model.num_runs, used.kl),
        *of_layers(subject.model, x, subject.noise, is_active(*used.halves)),
    ]


def _of_dimensions(num_runs: int, kl: Tensor | None) -> list[Grade]:
    """Grades from the KL of each dimension [S, N, D]; without values where there is no formula."""
    absent = "" if kl is not None else NO_FORMULA
    kl = torch.full((num_runs, 1, 1), math.nan) if kl is None else kl
    rates = kl.mean(1, dtype=torch.float64)  # [S, D]
    share = f"test, share of dimensions with Pr_x[KL < {EPSILON} nats] >= 1 - {DELTA}"
    mean_kl = "test, mean over dimensions of the mean KL"
    parts = None if absent else rates
    return [
        Grade("collapsed", collapsed(kl), share, absent=absent),
        Grade(
            "rate_per_dimension",
            rates.mean(-1),
            mean_kl,
            absent=absent,
            parts=parts,
            axis="dimension",
        ),
    ]


def active_units(mu: Tensor, again: Tensor | None = None) -> Tensor:
    """Dimensions whose posterior mean varies over the data by more than 0.01: [S, N, D] -> [S].

    Burda et al. 2016, section 5.2: Var_x(E_q[z]) > 0.01. `again`: see `is_active`.
    """
    return is_active(mu, again).sum(-1)


def is_active(mu: Tensor, again: Tensor | None = None) -> Tensor:
    """Which dimensions are active, see `active_units`: [S, N, D] -> bool [S, D].

    `again`: the means from other samples, where they are of samples: the covariance of both is the
    variance of the exact means in expectation, and what varies from sample to sample is not in it.
    """
    again = mu if again is None else again
    products = (mu - mu.mean(1, keepdim=True)) * (again - again.mean(1, keepdim=True))
    return products.sum(1) / (mu.shape[1] - 1) > ACTIVE


def collapsed(kl: Tensor) -> Tensor:
    """The share of (epsilon, delta)-collapsed dimensions: KL [S, N, D] in nats -> [S].

    Lucas et al. 2019, "Don't Blame the ELBO!": Pr_x[KL[q(z_d|x) || p(z_d)] < epsilon] >= 1 - delta.
    NaN where a KL is.
    """
    used = (kl >= EPSILON).sum(1) > DELTA * kl.shape[1]
    share = 1.0 - used.double().mean(-1)
    return share.masked_fill(kl.isnan().any(-1).any(-1), math.nan)


def reconstructed(model: Graded, x: Tensor, noise: Noise) -> Used:
    """Posterior means, KL and reconstruction error for the images x [N, P], chunk by chunk."""
    prior = model.prior()

    def used(images: Tensor, noise: Noise) -> Used:
        return _used(model, prior, images, noise)

    num_rows = rows_within(bytes_for(x.device), lambda: used(x[:1], noise))
    parts = [
        used(x[first : first + num_rows], noise.at(row=first))
        for first in range(0, len(x), num_rows)
    ]
    halves, kl, errors = zip(*parts, strict=True)
    first, second = (torch.cat(of_half, 1) for of_half in zip(*halves, strict=True))
    split = [part for part in kl if part is not None]
    error = torch.stack(errors).sum(0) / x.numel()
    return Used((first, second), torch.cat(split, 1) if split else None, error)


def _used(model: Graded, prior: BoundPrior, x: Tensor, noise: Noise) -> Used:
    """The same for one chunk of images, its error summed, not averaged."""
    stacked = x.expand(model.num_runs, *x.shape)
    q = model.posterior(stacked)
    halves = _halves(q, noise)
    mu = 0.5 * (halves[0] + halves[1])
    error = (x - model.mean_image(mu[None], stacked)[0]).square().sum((-1, -2))
    return Used(halves, prior.kl_per_dimension(q), error)


@torch.no_grad()
def posterior_means(model: Graded, x: Tensor, noise: Noise) -> Tensor:
    """The mean of q(z|x) of the images x [N, P]: [S, N, D], chunk by chunk."""

    def mean(images: Tensor, noise: Noise) -> Tensor:
        stacked = images.expand(model.num_runs, *images.shape)
        return posterior_mean(model.posterior(stacked), noise)

    num_rows = rows_within(bytes_for(x.device), lambda: mean(x[:1], noise))
    parts = (
        mean(x[first : first + num_rows], noise.at(row=first))
        for first in range(0, len(x), num_rows)
    )
    return torch.cat(list(parts), 1)


def posterior_mean(q: Distribution, noise: Noise) -> Tensor:
    """The mean of q(z|x), of samples where there is no formula: [S, B, D]."""
    first, second = _halves(q, noise)
    return 0.5 * (first + second)


def _halves(q: Distribution, noise: Noise) -> tuple[Tensor, Tensor]:
    """The mean of q(z|x) twice, or from each half of the samples where there is no formula.

    A layer counts by its mean given the layer that it is drawn from, which varies less.
    """
    try:
        return q.mean, q.mean
    except InputError:
        draw = q.draw(Drawing(noise, NUM_MEAN_SAMPLES, densities))
        first, second = (draw.z if draw.mean is None else draw.mean).chunk(2)
        return first.mean(0), second.mean(0)
