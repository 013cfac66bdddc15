"""The parts of a training step in their order, and a step of some runs to try them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaebench.config import RunConfig
from vaebench.core.registry import Registry
from vaebench.models import MODELS, VAE
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops import densities
from vaebench.ops.noise import Noise
from vaebench.training.scalars import Scalars
from vaebench.training.step import Loss


@dataclass(frozen=True)
class Trial:
    """A training step of some runs that have learned nothing yet."""

    model: VAE
    x: Tensor  # [S, B, P]
    noise: Noise
    loss: Loss
    scalars: Scalars

    def terms(self) -> Terms:
        """The terms of the step, computed anew for each use: they serve one loss."""
        return self.loss.terms(self.model, self.x, self.noise, self.scalars, operations=densities)

    def numbers(self, stage: Stage) -> list[Tensor]:
        """What a stage gives for each run, and the gradient of that: [S, ...] each."""
        value = stage.compute(self)
        if not value.requires_grad:
            return [value]
        gradients = torch.autograd.grad(
            value.sum(), [*self.model.parameters()], allow_unused=True, materialize_grads=True
        )
        return [value.detach(), *gradients]


@dataclass(frozen=True)
class Stage:
    """One part of a step."""

    registry: Registry[Any]
    """The registry of the entry that computes it."""
    what: str
    compute: Callable[[Trial], Tensor]
    """-> what it gives for each run: [S, ...]."""

    def name(self, config: RunConfig) -> str:
        """The name of the entry in a configuration."""
        return str(getattr(config, self.registry.kind).name)


def _runs_first(of_samples: Tensor) -> Tensor:
    return of_samples.transpose(0, 1)


def _drawn_image(trial: Trial) -> Tensor:
    return _runs_first(trial.model.sample_image(trial.terms().z, trial.noise))


def _drawn_code(trial: Trial) -> Tensor:
    return trial.model.prior().sample(trial.noise, trial.x.shape[1], trial.model.latent)


def _next_state(trial: Trial) -> Tensor:
    state = trial.loss.next_state(trial.terms(), trial.scalars)
    return torch.cat([*state.values()], -1)


def _auxiliary_loss(trial: Trial) -> Tensor:
    auxiliary = trial.loss.objective.auxiliary
    assert auxiliary is not None
    return auxiliary.loss(trial.terms())


STAGES = (
    Stage(MODELS, "code", lambda t: t.model.encoded(t.x, t.noise)),
    Stage(POSTERIORS, "z", lambda t: _runs_first(t.terms().z)),
    Stage(POSTERIORS, "log q(z|x)", lambda t: _runs_first(t.terms().log_qz_x)),
    Stage(PRIORS, "log p(z)", lambda t: _runs_first(t.terms().log_pz)),
    Stage(PRIORS, "KL", lambda t: t.terms().kl_or_estimate),
    Stage(MODELS, "image", lambda t: _runs_first(t.model.decode(t.terms().z, t.noise))),
    Stage(LIKELIHOODS, "log p(x|z)", lambda t: _runs_first(t.terms().log_px_z)),
    Stage(LIKELIHOODS, "mean image", lambda t: _runs_first(t.model.mean_image(t.terms().z))),
    Stage(LIKELIHOODS, "drawn image", _drawn_image),
    Stage(PRIORS, "drawn code", _drawn_code),
    Stage(OBJECTIVES, "next state", _next_state),
    Stage(OBJECTIVES, "loss", lambda t: t.loss.objective(t.terms(), **t.scalars.objective)),
    Stage(OBJECTIVES, "auxiliary loss", _auxiliary_loss),
)
"""In the order of a step: the first that mixes runs is the culprit."""
