"""Adam and gradient clipping for a stack of runs that never mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaebench.models import VAE
from vaebench.ops.adam import AdamScalars, Moments, MoveGroups
from vaebench.ops.c.adam import MoveInC, can_move_in_c
from vaebench.ops.c.rows import addresses

AdamAt = Callable[[int], Sequence[AdamScalars]]
"""A step -> Adam's scalars of each run at it; one object where they do not change."""


class StackAdam:
    """AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019, algorithm 2) with scalars for each run of
    a stack: in C where that can run, else torch.optim.AdamW, fused."""

    def __init__(self, model: VAE, moments: Moments | None = None) -> None:
        self.parameters = list(model.parameters())
        self.moments = moments or Moments.at_start([p.detach() for p in self.parameters])
        self._place()

    def step(self, scalars: Sequence[AdamScalars]) -> None:
        """Move every parameter that has a gradient, by the scalars of each run."""
        if addresses(self.parameters) != self.places:
            self._place()  # a parameter's .data was assigned: it lies elsewhere now
        self.move([p.grad for p in self.parameters], scalars)

    def _place(self) -> None:
        """Look up where the parameters lie."""
        values = [p.detach() for p in self.parameters]
        way = MoveInC if can_move_in_c(values) else MoveGroups
        self.places, self.move = addresses(values), way(values, self.moments)


class Descent:
    """Clipping and Adam, which follow the gradients of a step; each run has its own scalars."""

    def __init__(
        self,
        model: VAE,
        adam: AdamAt,
        limits: Tensor,
        moments: Moments | None = None,
    ) -> None:
        """`moments`: those to go on from; None: those at the start, without averages of weights."""
        self.model, self.adam, self.limits = model, adam, limits
        self.clips = bool(limits.isfinite().any())
        self.optimiser = StackAdam(model, moments)

    @property
    def moments(self) -> Moments:
        """The moments that Adam keeps."""
        return self.optimiser.moments

    def adam_over(self, steps: range) -> list[Sequence[AdamScalars]]:
        """Adam's scalars of each run at each of the steps; at the first alone where they do not
        change."""
        of_steps = [self.adam(step) for step in steps]
        alike = all(scalars is of_steps[0] for scalars in of_steps)
        return of_steps[:1] if alike else of_steps

    def __call__(self, step: int) -> Tensor | None:
        """Move by the gradients in the model, those of a step.

        Returns the norms [S] before clipping; None where no run is clipped.
        """
        norms = clip_gradients(self.model, self.limits) if self.clips else None
        self.optimiser.step(self.adam(step))
        return norms


def gradient_norms(model: VAE) -> Tensor:
    """The norm of the gradient of each run's loss: [S]."""
    grads = [p.grad.flatten(1) for p in model.main_parameters() if p.grad is not None]
    return torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads]).norm(dim=0)


def clip_gradients(model: VAE, limits: Tensor) -> Tensor:
    """Scale each run's gradient down to its limit [S], by its own norm; return the norms."""
    norms = gradient_norms(model)
    scale = torch.where(norms > limits, limits / norms, torch.ones_like(norms))
    for parameter in model.main_parameters():
        if parameter.grad is not None:
            parameter.grad *= scale.view(-1, *[1] * (parameter.grad.dim() - 1))
    return norms
