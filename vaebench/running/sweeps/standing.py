"""Where a sweep stands: how its trials ended, and the best of each variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vaebench.running.meter import Meter
from vaebench.running.standing import Standing
from vaebench.running.sweeps.goals import Goal
from vaebench.running.sweeps.outcome import Amount
from vaebench.running.sweeps.rounds import Tuned


def standing(tuned: Sequence[Tuned], target: Goal, amount: Amount) -> Standing:
    """How the trials of all variants ended, and the best of each by a target."""
    counts = sum((one.search.counts for one in tuned), Counter[str]())
    chosen = [(one, leader) for one in tuned if (leader := one.search.leader)]
    return Standing(
        counts,
        amount.trials * len(tuned) if amount.trials else None,
        "trials",
        best=tuple(
            f"best {target.column} so far: {trial.values[0]:.5g}, {one.variant.name}"
            for one, trial in chosen
        ),
    )


def of_round(sweep: Standing, meter: Meter) -> Meter:
    """A meter for the runs of a round: it shows where the sweep stands, and what is at work."""

    def on_standing(runs: Standing) -> None:
        meter.on_standing(replace(sweep, at_work=runs.at_work, compiling=runs.compiling))

    return Meter(meter.on_steps, on_standing)
