"""Discrete codes: D categorical variables of C values, one-hot, and their relaxation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.core.about import About, Limit
from vaebench.core.hyper import Hyper, Scalar, with_axis
from vaebench.models.posteriors.entry import Draw, Drawing, Latent, no_formula, posterior
from vaebench.ops.noise import gumbels


@dataclass(frozen=True)
class Categorical:
    """D independent variables; a code is D one-hot vectors of C, side by side.

    The gradient of a sample is that of its relaxation (straight through): biased, less so as the
    temperature falls, and noisier. Where `trains_relaxed`, training sees the relaxation itself.
    """

    log_probs: Tensor  # [S, B, D, C] normalised over C
    temperature: Scalar
    trains_relaxed: bool

    def draw(self, drawing: Drawing) -> Draw:
        num_rows, num_variables, num_classes = self.log_probs.shape[1:]
        g = gumbels(drawing.noise, drawing.num_samples, num_rows, num_variables * num_classes)
        scores = self.log_probs + g.to(self.log_probs).unflatten(-1, (num_variables, num_classes))
        soft = torch.softmax(scores / with_axis(with_axis(self.temperature)), -1)
        if drawing.relaxed and self.trains_relaxed:
            return Draw(soft.flatten(-2))
        hard = F.one_hot(scores.argmax(-1), num_classes).to(soft)
        return Draw((hard + (soft - soft.detach())).flatten(-2))

    def log_prob(self, z: Tensor) -> Tensor:
        if self.trains_relaxed and not _is_one_hot(z):
            raise no_formula(
                "gumbel_softmax",
                "log q(z|x) of a relaxed code",
                "choose an objective of the closed-form KL, as elbo, or posterior 'categorical'",
            )
        return (z.unflatten(-1, self.log_probs.shape[-2:]) * self.log_probs).sum((-1, -2))

    def stopped(self) -> Categorical:
        raise no_formula(
            "gumbel_softmax" if self.trains_relaxed else "categorical",
            "the path derivative, as its codes are discrete",
            "choose an objective that is not a path-derivative estimator",
        )

    @property
    def num_examples(self) -> int:
        return self.log_probs.shape[1]

    @property
    def mean(self) -> Tensor:
        return self.log_probs.exp().flatten(-2)

    @property
    def log_var(self) -> Tensor:
        p = self.log_probs.exp()
        return (p * (1.0 - p)).clamp_min(1e-30).log().flatten(-2)  # p may round to 1


Temperature = Annotated[Scalar, Hyper((0.2, 2.0), log=True, low=0.01)]


def _numbers_per_code(latent: Latent) -> int:
    return latent.dim * latent.num_classes


@posterior(
    source="Jang et al. 2017, section 2.2 (straight-through)",
    num_inputs=_numbers_per_code,
    code_width=_numbers_per_code,
    discrete=True,
    closed_form_kl_to=("uniform_categorical", "learned_categorical"),
    about=About(
        formula=r"q(z|x) = \prod_{d=1}^{D} \mathrm{Cat}(z_d; \pi_d), \qquad \mathrm{KL} = "
        r"\sum_{d=1}^{D} \sum_{c=1}^{C} \pi_{dc} \log \frac{\pi_{dc}}{p_{dc}}, "
        r"\qquad \nabla z_d := \nabla \, \mathrm{softmax}\left( \frac{\log \pi_d "
        r"+ g_d}{\tau} \right), \; \tau = \text{temperature}",
        wrong_when="The gradient is biased: it is that of the relaxation, at discrete "
        "codes. A low temperature trades bias for noise.",
    ),
)
def categorical(
    numbers: Tensor, latent: Latent, network: nn.Module | None, *, temperature: Temperature = 0.5
) -> Categorical:
    """Discrete codes in training and evaluation, the gradient straight through the relaxation."""
    return Categorical(_log_probs(numbers, latent), temperature, trains_relaxed=False)


@posterior(
    source="Jang et al. 2017, eq. 2, with the categorical KL of section 4.2",
    num_inputs=_numbers_per_code,
    code_width=_numbers_per_code,
    discrete=True,
    closed_form_kl_to=("uniform_categorical", "learned_categorical"),
    about=About(
        formula=r"q(z|x) = \prod_{d=1}^{D} \mathrm{Cat}(z_d; \pi_d), \qquad \mathrm{KL} = "
        r"\sum_{d=1}^{D} \sum_{c=1}^{C} \pi_{dc} \log \frac{\pi_{dc}}{p_{dc}}, "
        r"\qquad z_d = \mathrm{softmax}\left( \frac{\log \pi_d + g_d}{\tau} "
        r"\right) \text{ in training}, \; \tau = \text{temperature}",
        wrong_when="The loss is that of relaxed codes and no bound for the discrete model "
        "that is graded. At a high temperature the two models differ most.",
        limits=(Limit("categorical", "it is evaluated; in training, the temperature goes to 0"),),
    ),
)
def gumbel_softmax(
    numbers: Tensor, latent: Latent, network: nn.Module | None, *, temperature: Temperature = 0.5
) -> Categorical:
    """Relaxed codes in training, with the KL of the discrete ones; discrete ones in evaluation.

    The distortion it trains on is that of the relaxed model, so its loss is no bound for the
    discrete model that is graded.
    """
    return Categorical(_log_probs(numbers, latent), temperature, trains_relaxed=True)


def _log_probs(numbers: Tensor, latent: Latent) -> Tensor:
    return torch.log_softmax(numbers.unflatten(-1, (latent.dim, latent.num_classes)), -1)


def _is_one_hot(z: Tensor) -> bool:
    return bool(((z == 0) | (z == 1)).all())
