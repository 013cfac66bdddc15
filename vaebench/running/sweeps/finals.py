"""What is trained once all have been tuned: best trials and untuned variants, on fresh seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace
from optuna.trial import FrozenTrial

from vaebench import results
from vaebench.config import RunConfig
from vaebench.core.errors import InputWarning
from vaebench.results import pruning
from vaebench.running.recording import config_of
from vaebench.running.sweeps.rounds import Tuned
from vaebench.running.sweeps.search import best


@dataclass(frozen=True)
class Final:
    """One variant, untuned and as its best trial has it."""

    tuned: Tuned
    chosen: FrozenTrial | None
    """None where no trial was fit to be chosen."""
    untuned_runs: Sequence[RunConfig]
    tuned_runs: Sequence[RunConfig]

    @property
    def runs(self) -> list[RunConfig]:
        """All of its runs, once each: a trial may have drawn the values that the study has."""
        return list({c.id: c for c in (*self.untuned_runs, *self.tuned_runs)}.values())

    @cached_property
    def ids_of_trials(self) -> set[str]:
        """The runs of its trials, on the study's seeds."""
        return {run for trial in self.tuned.search.told for run in trial.user_attrs["runs"]}

    @property
    def best_config(self) -> RunConfig | None:
        """The configuration of the best trial, on the study's first seed."""
        if self.chosen is None:
            return None
        variant = self.tuned.variant
        return variant.space.configured(variant.runs[0], self.chosen.params)


def finals(tuned: Sequence[Tuned], num_seeds: int) -> list[Final]:
    """The finals of all variants, on the seeds that follow the largest of the study."""
    last = _last_seed(tuned)
    seeds = range(last + 1, last + 1 + num_seeds)
    return [_final(one, seeds) for one in tuned]


def _last_seed(tuned: Sequence[Tuned]) -> int:
    """The largest seed of the study."""
    return max(config.seed for one in tuned for config in one.variant.runs)


def _final(tuned: Tuned, seeds: Sequence[int]) -> Final:
    front = best(tuned.search.memory)
    final = Final(tuned, front[0] if front else None, tuned.variant.with_seeds(seeds), ())
    config = final.best_config
    if config is None:
        return final
    runs = [replace(config, seed=seed) for seed in seeds]
    return Final(tuned, final.chosen, final.untuned_runs, runs)


def drop_earlier(out: Path, finals: Sequence[Final]) -> None:
    """Remove the final runs of trials that are the best no more, as of a smaller budget.

    Tables of the folder would show them beside the winners. Runs on the study's seeds stay, those
    of the variants as they are now, on any seed, and those that are of no trial of these searches.
    A warning says how many are removed.
    """
    last = _last_seed([final.tuned for final in finals])
    now = {replace(config, seed=0).id for final in finals for config in final.runs}
    earlier = [
        record.run
        for record in results.records(out, curves=False)
        if (config := config_of(record)) is not None
        and config.seed > last
        and replace(config, seed=0).id not in now
        and _is_of_trial(config, finals)
    ]
    if earlier:
        pruning.drop(out, earlier)
        warnings.warn(
            f"{len(earlier)} final runs of trials that are the best no more were removed from "
            f"{out}; the trials are in trials.csv",
            InputWarning,
            stacklevel=3,
        )


def _is_of_trial(config: RunConfig, finals: Sequence[Final]) -> bool:
    """Whether a run is that of a trial, but for its seed."""
    return any(
        replace(config, seed=final.tuned.variant.runs[0].seed).id in final.ids_of_trials
        for final in finals
    )
