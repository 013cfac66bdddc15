"""Training steps: the loss of a minibatch, its gradients, and what follows them.

S runs side by side, never mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from vaebench import ops as kernels
from vaebench.core.hyper import Scalar
from vaebench.core.user_code import call, is_users
from vaebench.models import VAE
from vaebench.models.posteriors.entry import Wanted
from vaebench.models.terms import Terms, compute_terms
from vaebench.objectives import Objective
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches

State = dict[str, Tensor]
"""What an objective keeps for each run from step to step: [S, 1] each, by name."""


def initial_state(objective: Objective, num_runs: int, place: Tensor) -> State:
    """What each run's state starts from."""
    values = objective.initial_state.items()
    return {name: torch.full((num_runs, 1), value).to(place) for name, value in values}


@dataclass(frozen=True)
class Scalars:
    """The scalars of one step, by name: floats or [S, 1]."""

    objective: Mapping[str, Scalar]
    """Hyperparameters, and state where it has been joined to them."""
    posterior: Mapping[str, Scalar]
    rate_weight: Scalar

    def values(self) -> tuple[Scalar, ...]:
        """All, in the order in which `mapped` takes them."""
        return (*self.objective.values(), *self.posterior.values(), self.rate_weight)

    def mapped(self, change: Callable[[Scalar], Scalar]) -> Scalars:
        """The same names with other values."""
        return Scalars(
            {name: change(value) for name, value in self.objective.items()},
            {name: change(value) for name, value in self.posterior.items()},
            change(self.rate_weight),
        )

    def with_state(self, state: State) -> Scalars:
        """With what an objective keeps from step to step."""
        return replace(self, objective={**self.objective, **state})


class Measured(Protocol):
    """What the curves show of a step, [S, B] each: Terms, or what is kept of them."""

    @property
    def kl_or_estimate(self) -> Tensor: ...

    @property
    def distortion(self) -> Tensor: ...


@dataclass(frozen=True)
class Averages:
    """What is kept of Terms for the curves: [S, B] each."""

    kl_or_estimate: Tensor
    distortion: Tensor


def averages(terms: Terms) -> Averages:
    """The numbers of terms as they are now."""
    with torch.no_grad():
        return Averages(terms.kl_or_estimate.clone(), terms.distortion)


class Taken(NamedTuple):
    """A loss that has been differentiated. The gradients are in the parameters."""

    loss: Tensor  # [S] mean over the batch
    measured: Measured
    state: State


TakeStep = Callable[[Tensor, Noise, Scalars], Taken]
"""(minibatch [S, B, P], noise, scalars) -> the loss, differentiated."""


@dataclass(frozen=True)
class Loss:
    """What the loop descends: one objective with what it does not change from step to step."""

    objective: Objective
    num_samples: int
    num_examples: int
    stack_key: str
    """Of the configurations: it names the graph of a step."""

    def terms(
        self,
        model: VAE,
        x: Tensor,
        noise: Noise,
        scalars: Scalars,
        wanted: Wanted = "kl",
        ops: ModuleType = kernels,
    ) -> Terms:
        """The terms of a minibatch x [S, B, P]."""
        return compute_terms(
            model,
            x,
            noise,
            num_samples=self.num_samples,
            rate_weight=scalars.rate_weight,
            posterior_hyper=scalars.posterior,
            num_examples=self.num_examples,
            training=True,
            wanted=wanted,
            ops=ops,
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


class Stride(NamedTuple):
    """Some steps that have been taken."""

    losses: Tensor  # [T, S] mean over the batch
    measured: Measured  # of the last step
    grad_norm: Tensor | None  # [S] of the last, before clipping; None: the model has the gradients
    state: State


def joined(strides: Sequence[Stride]) -> Stride:
    """Those that follow one another as one."""
    return strides[-1]._replace(losses=torch.cat([stride.losses for stride in strides]))


TakeStride = Callable[[Minibatches, Noise, Sequence[Scalars], State], Stride]
"""(minibatches of T steps, noise of the first, scalars of each without the state, state) -> the
steps, after which the model has moved."""
MakeStride = Callable[[VAE, "Loss", Descent, int], TakeStride]
"""(model, loss, what follows the gradients, steps left) -> the way to take strides."""


class EagerStep:
    """Takes the loss operation by operation. What it asked of its samples it draws with the next:
    so the fused kernels are used."""

    def __init__(self, model: VAE, loss: Loss, ops: ModuleType = kernels) -> None:
        self.model, self.loss, self.ops = model, loss, ops
        self.parameters = list(model.parameters())
        self.wanted: Wanted = "kl"
        self.moves = model.network is not None or len(model.learned_prior) > 0

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        drop(self.parameters)
        terms = self.loss.terms(self.model, x, noise, scalars, self.wanted, self.ops)
        measured: Measured = terms
        if is_users(self.loss.objective.loss):  # which may work on its terms in place
            measured = averages(replace(terms))  # what these ask for, the objective has not asked
        loss, total = self.loss(terms, scalars)
        put(self.parameters, torch.autograd.grad(total, self.parameters, allow_unused=True))
        self.wanted = terms.wanted
        if self.moves:  # what the curves show is of the densities as they were in this step
            with torch.no_grad():
                _ = measured.kl_or_estimate
        return Taken(loss.detach(), measured, self.loss.next_state(terms, scalars))


@dataclass(frozen=True)
class OneByOne:
    """Takes strides step by step."""

    take: TakeStep
    descend: Descent

    def __call__(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Stride:
        losses, norms = [], None
        for t, of_step in enumerate(scalars):
            here = noise.at(step=batches.first + t)
            loss, measured, state = self.take(batches[t], here, of_step.with_state(state))
            norms = self.descend()
            losses.append(loss)
        return Stride(torch.stack(losses), measured, norms, state)


def eager(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> OneByOne:
    """Operation by operation."""
    return OneByOne(EagerStep(model, loss), descend)


def drop(parameters: Sequence[Tensor]) -> None:
    """Free the gradients of the step before, whose memory this one can have."""
    for parameter in parameters:
        parameter.grad = None


def put(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Leave the gradients where the optimiser finds them."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        # Fused Adam reads the numbers in the order in which they lie.
        parameter.grad = None if gradient is None else gradient.contiguous()
