"""How far a stack has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


AT_START = Progress()
"""Before the first step."""
