"""How a trial ended, and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.sweep import Budget
from vaebench.core.errors import InputError

Ending = results.Status | Literal["refused", "pruned"]


@dataclass(frozen=True)
class Cost:
    """What trials have taken, counted in each way that a budget can be given."""

    trials: float = 0
    steps: float = 0
    decoder_evaluations: float = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.trials + other.trials,
            self.steps + other.steps,
            self.decoder_evaluations + other.decoder_evaluations,
            self.seconds + other.seconds,
        )


def cost_of(config: RunConfig, steps: int, step_ms: float) -> Cost:
    """What a run costs that takes so many steps, of so many milliseconds each."""
    return Cost(0, steps, steps * config.evaluations_per_step, steps * step_ms / 1e3)


def in_full(runs: Sequence[RunConfig], step_ms: float) -> Cost:
    """What a trial costs at most."""
    return sum((cost_of(c, c.train.num_steps, step_ms) for c in runs), Cost(trials=1))


@dataclass(frozen=True)
class Amount:
    """A budget: how much of what."""

    what: str
    most: float

    def is_spent(self, cost: Cost) -> bool:
        """Whether no further trial may begin."""
        return float(getattr(cost, self.what)) >= self.most

    @property
    def trials(self) -> int | None:
        """The number of trials, where that is what is counted."""
        return int(self.most) if self.what == "trials" else None

    def __str__(self) -> str:
        return f"{self.most:g} {self.what.replace('_', ' ')}"


def amount(budget: Budget) -> Amount:
    """The one amount of a budget. Raises InputError where it has none."""
    if not budget.given:
        raise InputError(
            "a sweep needs a budget for every variant: give --trials N, or [sweep.budget] with "
            "trials, steps, decoder_evaluations or seconds"
        )
    ((what, most),) = budget.given.items()
    return Amount(what, most)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its values, infinitely bad where it was lost, its status and the reason.

    Values are in the order of the targets. A pruned trial has none.
    """

    values: tuple[float, ...] = ()
    status: Ending = "done"
    reason: str = ""
    training: str = ""
    """Which runs stopped early and whose best weights were kept, in words; "" where none."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Targets and constrained metrics by name: means over seeds."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """By how much each limit is exceeded; 0 or less where it is kept."""
    cost: Cost = Cost(trials=1)
