"""Subjects of the gradings of latent use: models of every family, and one from elsewhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from tests.support.families import KEYS, C, D
from vaebench.data import Images, Part, load
from vaebench.evaluation.grading import Subject
from vaebench.models.posteriors import POSTERIORS, Distribution, Latent
from vaebench.models.priors import STANDARD_NORMAL, BoundPrior
from vaebench.ops.noise import Noise, uniforms

N = 9
NOISE = Noise(KEYS, step=7)


def observations() -> Tensor:
    """Binary images [N, P], the same for all runs."""
    return (uniforms(Noise(KEYS[:1], step=8), N, 7)[0] < 0.4).double()


def subject_of(model: Any, x: Tensor | None = None, noise: Noise = NOISE) -> Subject:
    """The model with the images as its test part."""
    data = load("digits", "none")
    part = Part(Images(observations() if x is None else x), None)
    return Subject(model, dataclasses.replace(data, test=part), noise)


class Codes:
    """One run of a model from elsewhere, whose images are the numbers that q(z|x) is made of."""

    num_runs = 1
    like = torch.zeros(1, dtype=torch.float64)

    def __init__(
        self,
        posterior: str = "diagonal_gaussian",
        prior: BoundPrior = STANDARD_NORMAL,
        dim: int = D,
    ) -> None:
        self.family, self.bound = POSTERIORS[posterior], prior
        self.latent = Latent(dim, C)

    def encoded(self, x: Tensor) -> Tensor:
        return x

    def distribution(self, numbers: Tensor) -> Distribution:
        return self.family.distribution(numbers, self.latent, None)

    def posterior(self, x: Tensor) -> Distribution:
        return self.distribution(x)

    def prior(self) -> BoundPrior:
        return self.bound

    def mean_image(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        return z.sum(-1, keepdim=True)
