"""Training steps: the loss of a minibatch, its gradients, and what follows them.

S runs side by side, never mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from vaebench import ops
from vaebench.config import RunConfig
from vaebench.core.user_code import call
from vaebench.data import Dataset
from vaebench.models import VAE
from vaebench.models.posteriors.entry import Wanted
from vaebench.models.terms import Terms, compute_terms
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.kind import General, general, step_kind
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State


def loss_of(config: RunConfig, dataset: Dataset) -> Loss:
    """The loss of runs like this one on a data set."""
    objective, num_examples = OBJECTIVES[config.objective.name], len(dataset.train)
    kind = step_kind(config, dataset)
    settings = config.num_samples, num_examples, config.train.accumulate
    return Loss(objective, *settings, kind, general(config))


def initial_state(objective: Objective, num_runs: int, place: Tensor) -> State:
    """The state of an objective before the first step: [S, 1] each."""
    values = objective.initial_state.items()
    return {name: torch.full((num_runs, 1), value).to(place) for name, value in values}


class Measured(Protocol):
    """What the curves show of a step, [S, B] each: Terms, or what is kept of them."""

    @property
    def kl_or_estimate(self) -> Tensor: ...

    @property
    def distortion(self) -> Tensor: ...


@dataclass(frozen=True)
class Averages:
    """The numbers of Terms that the curves show: [S, B] each."""

    kl_or_estimate: Tensor
    distortion: Tensor


def averages(measured: Measured) -> Averages:
    """Copy the numbers that the curves show, as they are now."""
    with torch.no_grad():
        return Averages(measured.kl_or_estimate.clone(), measured.distortion)


class Taken(NamedTuple):
    """A loss whose gradients are in the parameters."""

    loss: Tensor  # [S] mean over the batch
    measured: Measured
    state: State


TakeStep = Callable[[Tensor, Noise, Scalars], Taken]
"""(minibatch [S, B, P], noise, scalars) -> the loss, differentiated."""


@dataclass(frozen=True)
class Loss:
    """The loss of a training run: an objective, and what is constant from step to step."""

    objective: Objective
    num_samples: int
    num_examples: int
    num_microbatches: int
    """Parts of a minibatch that are differentiated one after another."""
    kind: str
    """What all runs share that take the same steps, by which a compiled graph is found."""
    compiled: General
    """The objective of compiled steps, which may be one that this is a case of."""

    def as_compiled(self) -> Loss:
        """The same loss, to the last bit, as compiled steps have it."""
        return replace(self, objective=self.compiled.objective)

    def terms(
        self,
        model: VAE,
        x: Tensor,
        noise: Noise,
        scalars: Scalars,
        wanted: Wanted = "kl",
        operations: ModuleType = ops,
    ) -> Terms:
        """The terms of a minibatch x [S, B, P]."""
        return compute_terms(
            model,
            x,
            noise,
            num_samples=self.num_samples,
            rate_weight=scalars.rate_weight,
            layer_weights=scalars.layer_weights,
            posterior_hyper=scalars.posterior,
            num_examples=self.num_examples,
            training=True,
            wanted=wanted,
            operations=operations,
        )

    def __call__(self, terms: Terms, scalars: Scalars) -> tuple[Tensor, Tensor]:
        """The loss of each run [S], and what is differentiated: their sum, with the auxiliary's."""
        loss = self.objective(terms, **scalars.objective).mean(-1)
        auxiliary = self.objective.auxiliary
        return loss, loss.sum() + (auxiliary.loss(terms).mean(-1).sum() if auxiliary else 0.0)

    def next_state(self, terms: Terms, scalars: Scalars) -> State:
        """What the objective keeps for the step after."""
        if self.objective.update is None:
            return {}
        with torch.no_grad():
            new = call(self.objective.update, terms, **scalars.objective)
        return {name: new[name] for name in self.objective.state}  # a graph knows them by order


class Block(NamedTuple):
    """Some steps that have been taken."""

    losses: Tensor  # [T, S] mean over the batch
    measured: Measured  # of the last step
    grad_norm: Tensor | None  # [S] of the last, before clipping; None: the model has the gradients
    state: State


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks that follow one another as one block."""
    return blocks[-1]._replace(losses=torch.cat([block.losses for block in blocks]))


TakeBlock = Callable[[Minibatches, Noise, Sequence[Scalars], State], Block]
"""(minibatches of T steps, noise of the first, scalars of each without the state, state) -> the
steps, after which the model has moved."""
MakeBlocks = Callable[[VAE, "Loss", Descent, int], TakeBlock]
"""(model, loss, what follows the gradients, steps left) -> the way to take blocks."""
