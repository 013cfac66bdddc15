"""How far a stack has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vaebench.models import VAE, select
from vaebench.ops.adam import Moments
from vaebench.training.scalars import State


@dataclass(frozen=True)
class Progress:
    """How far a stack has come: with its weights, all that the next step needs."""

    index: int = 0
    moments: Moments | None = None
    state: State | None = None

    def of(self, runs: Sequence[int]) -> Progress:
        """The progress of some runs of the stack, copied."""
        moments = self.moments.of(runs) if self.moments else None
        state = {name: t[list(runs)] for name, t in self.state.items()} if self.state else {}
        return Progress(self.index, moments, state)


def graded(model: VAE, progress: Progress) -> VAE:
    """The model by whose weights a stack is graded as it is now: a copy with their averages, where
    they are averaged, else the model itself."""
    averages = progress.moments.averages if progress.moments else []
    if not averages:
        return model
    averaged = select(model, range(model.num_runs))
    for parameter, average in zip(averaged.parameters(), averages, strict=True):
        parameter.data.copy_(average)
    return averaged


AT_START = Progress()
"""Before the first step."""
