"""Steps taken operation by operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.user_code import is_users
from vaebench.models import VAE
from vaebench.models.posteriors.entry import Wanted
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Block, Loss, Measured, Taken, TakeStep, averages
from vaebench.training.stepping.accumulated import accumulated


class EagerStep:
    """Computes and differentiates the loss operation by operation.

    Each step draws with its samples what the objective declares, so that the fused kernels are
    used. The first one computes the densities from q: equal up to rounding, which differs, and
    runs keep the numbers that they always had.
    """

    def __init__(self, model: VAE, loss: Loss, operations: ModuleType = ops) -> None:
        self.model, self.loss, self.operations = model, loss, operations
        self.parameters = list(model.parameters())
        self.draws: Wanted = "kl"
        densities = (*model.posterior_parameters(), *model.prior_parameters())
        self.moves = len(densities) > 0

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        drop(self.parameters)
        terms = self.loss.terms(self.model, x, noise, scalars, self.draws, self.operations)
        measured: Measured = terms
        if is_users(self.loss.objective.loss):  # which may work on its terms in place
            measured = averages(replace(terms))  # a copy: its use is not the objective's
        loss, total = self.loss(terms, scalars)
        put(self.parameters, torch.autograd.grad(total, self.parameters, allow_unused=True))
        self.draws = self.loss.objective.draws
        if self.moves:  # what the curves show is of the densities as they were in this step
            with torch.no_grad():
                _ = measured.kl_or_estimate
        return Taken(loss.detach(), measured, self.loss.next_state(terms, scalars))


@dataclass(frozen=True)
class OneByOne:
    """A way to take blocks: step by step."""

    take: TakeStep
    descend: Descent
    num_microbatches: int = 1

    def __call__(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        losses, norms = [], None
        for t, of_step in enumerate(scalars):
            here = noise.at(step=batches.first + t)
            parts = batches.microbatches(t, self.num_microbatches)
            loss, measured, state = self._taken(parts, here, of_step.with_state(state))
            norms = self.descend(here.step)
            losses.append(loss)
        return Block(torch.stack(losses), measured, norms, state)

    def _taken(self, parts: Iterator[Tensor], noise: Noise, scalars: Scalars) -> Taken:
        if self.num_microbatches == 1:
            return self.take(next(parts), noise, scalars)
        parameters = list(self.descend.model.parameters())
        return accumulated(self.take, parts, noise, scalars, parameters)


def eager(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> OneByOne:
    """Operation by operation."""
    return OneByOne(EagerStep(model, loss), descend, loss.num_microbatches)


def drop(parameters: Sequence[Tensor]) -> None:
    """Free the gradients of the step before, whose memory this one can have."""
    for parameter in parameters:
        parameter.grad = None


def put(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Leave the gradients where the optimiser finds them."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        # Fused Adam reads the numbers in the order in which they lie.
        parameter.grad = None if gradient is None else gradient.contiguous()
