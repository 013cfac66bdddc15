"""What a sweep would try, and about what that would cost: nothing is trained or written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench.config.study import Study
from vaebench.config.sweep import Budget
from vaebench.running.checks import check
from vaebench.running.cluster import Cluster
from vaebench.running.dry_run import cost_here
from vaebench.running.environment import default_device
from vaebench.running.foretold import Cost
from vaebench.running.sweeps.outcome import Amount, in_full
from vaebench.running.sweeps.steppings import chosen
from vaebench.running.sweeps.sweep import USUAL_TRIALS, plan
from vaebench.running.sweeps.variants import Variant
from vaebench.training.stepping.ways import Stepping


@dataclass(frozen=True)
class Search:
    """The search of one variant: what it tries, how steps are taken, and what a trial costs."""

    variant: Variant
    num_trials: int
    """At most, as trials may be ended early, or cost less than is foretold."""
    num_finals: int
    stepping: Stepping
    cost: Cost | None
    """A trial in full; None where it cannot be foretold."""

    @property
    def core_seconds(self) -> float | None:
        """Seconds of one core for all trials and the final runs."""
        if self.cost is None:
            return None
        num_trials = self.num_trials + self.num_finals / len(self.variant.runs)
        return self.cost.seconds * num_trials

    @property
    def row(self) -> dict[str, Any]:
        """The line of the search in a table."""
        return {
            "variant": self.variant.name,
            "trials": self.num_trials,
            "runs_of_a_trial": len(self.variant.runs),
            "final_runs": self.num_finals,
            "num_steps": self.variant.runs[0].train.num_steps,
            "searched": ", ".join(self.variant.space.distributions),
            "way": self.stepping.way,
            "why": self.stepping.why,
            "core_seconds": self.core_seconds,
        }


@dataclass(frozen=True)
class DryRun:
    """What a sweep would do in a folder."""

    folder: Path
    amount: Amount
    searches: Sequence[Search]

    @property
    def core_seconds(self) -> float | None:
        """Seconds of one core for all searches; None where one is not foretold."""
        seconds = [search.core_seconds for search in self.searches]
        return None if None in seconds else sum(one for one in seconds if one is not None)


def dry_run(
    study: Study,
    folder: Path,
    budget: Budget | None,
    *,
    executor: str,
    workers: int | None,
    cluster: Cluster,
    plugins: Sequence[str],
    compiles: str,
) -> DryRun:
    """What `sweep` would do. Raises InputError for what it would refuse."""
    planned = plan(study, budget)
    check([*planned.configs], executor, workers, cluster, plugins, compiles)
    searches = [
        _search(variant, planned.amount, study.sweep.final_seeds, compiles)
        for variant in planned.variants
    ]
    return DryRun(folder, planned.amount, searches)


def _search(variant: Variant, amount: Amount, final_seeds: int, compiles: str) -> Search:
    runs = variant.runs
    stepping = chosen(runs, compiles, amount.trials or USUAL_TRIALS)
    cost = cost_here(runs, stepping, str(default_device()))
    step_ms = 1e3 * cost.training_s / (len(runs) * runs[0].train.num_steps) if cost else math.inf
    trials = math.ceil(amount.most / getattr(in_full(runs, step_ms), amount.what))
    finals = final_seeds * (2 if variant.space.distributions else 1)
    return Search(variant, trials, finals, stepping, cost)
