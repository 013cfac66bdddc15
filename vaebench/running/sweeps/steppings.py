"""How the trials of a search take their steps: chosen once for each shape, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from vaebench.config import RunConfig
from vaebench.running.choosing import COMPILE, Study
from vaebench.running.environment import default_device
from vaebench.training.stepping.ways import Stepping

WAY = "steps"
"""How user attributes of a search begin that name a way to take steps, before the stack's key."""
CORES = 1
"""Cores that a choice is made for, whatever this machine has, so that it is the same on any."""


@dataclass(frozen=True)
class Steppings:
    """Ways to take steps, kept where the trials are: compiled and eager steps round otherwise, so
    a search goes on by those that it began with."""

    stored: optuna.Study
    compiles: str
    """A name of `choosing.COMPILE`."""
    num_trials: float
    """About how many trials the search will have."""

    def of(self, runs: Sequence[RunConfig]) -> Stepping:
        """The way of runs that can be stacked."""
        name = f"{WAY} {runs[0].stack_key}"
        known = self.stored.user_attrs.get(name)
        if known is not None:
            return Stepping(*known)
        stepping = chosen(runs, self.compiles, self.num_trials)
        self.stored.set_user_attr(name, [stepping.way, stepping.why, stepping.kind])
        return stepping


def chosen(runs: Sequence[RunConfig], compiles: str, num_trials: float) -> Stepping:
    """The way of runs that can be stacked, in a search of about so many trials."""
    study = Study(runs, default_device(), CORES, num_trials, counts_disk=False)
    return COMPILE[compiles](study, ())[runs[0].stack_key]
