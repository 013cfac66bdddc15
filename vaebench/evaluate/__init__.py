"""The evaluation on held-out data: the same for every variant, chosen by none of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench import densities
from vaebench.data import Dataset
from vaebench.evaluate.bounds import Bounds, bounds
from vaebench.evaluate.chunks import bytes_for, rows_within
from vaebench.evaluate.latent import active_units
from vaebench.evaluate.quality import extractor_for, frechet_distances, prior_means
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.posteriors import Distribution
from vaebench.posteriors.flows import Flow

NUM_SHOWN = 64
NUM_MEAN_SAMPLES = 16
"""Behind the posterior mean of a flow, which has no formula for it."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of S runs by metric name, [S] each, the way they were made, and sample images."""

    values: dict[str, list[float]]
    protocols: dict[str, str]
    images: Tensor  # [S, n, P] means of p(x|z) for z from the prior


@torch.no_grad()
def evaluate(
    model: VAE, dataset: Dataset, noise: Noise, *, num_samples: int, num_images: int
) -> Evaluation:
    """Every figure of every run of the stack, on the test part; the bounds on validation too."""
    place = next(model.parameters())
    x, x_valid = (dataset.observe(part).to(place) for part in ("test", "valid"))
    test = bounds(model, x, noise.at(step=0), num_samples=num_samples)
    valid = bounds(model, x_valid, noise.at(step=1), num_samples=num_samples)
    mu, mse = _reconstructed(model, x, noise.at(step=3))
    images = prior_means(model, noise.at(step=2), num_images)
    extractor = extractor_for(dataset)

    values = {
        **_means(test),
        "valid_elbo": valid.elbo.mean(-1),
        "valid_nll": valid.nll.mean(-1),
        "active_units": active_units(mu),
        "mse": mse,
        "frechet": torch.tensor(frechet_distances(images, dataset, extractor), dtype=torch.float64),
    }
    if model.likelihood.measure == "mass" or dataset.dequantised:
        values["bits_per_dim"] = values["nll"] / (dataset.num_pixels * math.log(2.0))
    sampled = f"test, K={num_samples}"
    return Evaluation(
        {name: value.tolist() for name, value in values.items()},
        {
            **dict.fromkeys(("elbo", "nll", "rate", "distortion", "bits_per_dim"), sampled),
            **dict.fromkeys(("valid_elbo", "valid_nll"), f"valid, K={num_samples}"),
            "active_units": "test, variance of the posterior mean > 0.01",
            "mse": "test, x against E[x|z] at the posterior mean, per pixel",
            "frechet": f"{extractor.described}, {num_images} means of p(x|z), z from the prior, "
            f"against {len(dataset.test.x)} grey test images",
        },
        images[:, :NUM_SHOWN].cpu(),
    )


def _reconstructed(model: VAE, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Posterior means [S, N, D], and the MSE per pixel of E[x|z] at them [S]; chunk by chunk."""
    num_rows = rows_within(bytes_for(x.device), lambda: _mean_and_error(model, x[:1], noise))
    parts = [
        _mean_and_error(model, x[first : first + num_rows], noise.at(row=first))
        for first in range(0, len(x), num_rows)
    ]
    means, errors = zip(*parts, strict=True)
    return torch.cat(means, 1), torch.stack(errors).sum(0) / x.numel()


def _mean_and_error(model: VAE, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Posterior means [S, B, D] of a few images, and the squared error of E[x|z] at them [S]."""
    mu = _mean(model.posterior(x.expand(model.num_runs, *x.shape)), noise)
    return mu, (x - model.mean_image(mu[None])[0]).square().sum((-1, -2))


def _mean(q: Distribution, noise: Noise) -> Tensor:
    """The mean of q(z|x), of samples where there is no formula: [S, B, D]."""
    if isinstance(q, Flow):
        return q.draw(noise, NUM_MEAN_SAMPLES, densities, relaxed=False).z.mean(0)
    return q.mean


def _means(parts: Bounds) -> dict[str, Tensor]:
    return {name: getattr(parts, name).mean(-1) for name in ("elbo", "nll", "rate", "distortion")}


__all__ = ["Bounds", "Evaluation", "bounds", "evaluate"]
