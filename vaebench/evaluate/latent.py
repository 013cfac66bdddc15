"""How much of the latent space is used."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench import densities
from vaebench.evaluate.chunks import bytes_for, rows_within
from vaebench.evaluate.grading import Grade, Graded, Subject, grading
from vaebench.noise import Noise
from vaebench.posteriors import Distribution
from vaebench.posteriors.flows import Flow

ACTIVE = 0.01
NUM_MEAN_SAMPLES = 16
"""Behind the posterior mean of a flow, which has no formula for it."""


@grading(source="Burda et al. 2016, section 5.2")
def latent(subject: Subject) -> list[Grade]:
    """How many dimensions are active, and how well the posterior mean gives the image back."""
    mu, mse = reconstructed(subject.model, subject.observed("test"), subject.noise)
    told = f"test, variance of the posterior mean > {ACTIVE}"
    return [
        Grade("active_units", active_units(mu), told),
        Grade("mse", mse, "test, x against E[x|z] at the posterior mean, per pixel"),
    ]


def active_units(mu: Tensor) -> Tensor:
    """Dimensions whose posterior mean varies over the data by more than 0.01: [S, N, D] -> [S].

    Burda et al. 2016, section 5.2: Var_x(E_q[z]) > 0.01.
    """
    return (mu.var(dim=1) > ACTIVE).sum(-1)


def reconstructed(model: Graded, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Posterior means [S, N, D], and the MSE per pixel of E[x|z] at them [S]; chunk by chunk."""
    num_rows = rows_within(bytes_for(x.device), lambda: _mean_and_error(model, x[:1], noise))
    parts = [
        _mean_and_error(model, x[first : first + num_rows], noise.at(row=first))
        for first in range(0, len(x), num_rows)
    ]
    means, errors = zip(*parts, strict=True)
    return torch.cat(means, 1), torch.stack(errors).sum(0) / x.numel()


def _mean_and_error(model: Graded, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Posterior means [S, B, D] of a few images, and the squared error of E[x|z] at them [S]."""
    mu = posterior_mean(model.posterior(x.expand(model.num_runs, *x.shape)), noise)
    return mu, (x - model.mean_image(mu[None])[0]).square().sum((-1, -2))


def posterior_mean(q: Distribution, noise: Noise) -> Tensor:
    """The mean of q(z|x), of samples where there is no formula: [S, B, D]."""
    if isinstance(q, Flow):
        return q.draw(noise, NUM_MEAN_SAMPLES, densities, relaxed=False).z.mean(0)
    return q.mean
