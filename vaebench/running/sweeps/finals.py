"""What is trained once all have been tuned: best trials and untuned variants, on fresh seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace
from optuna.trial import FrozenTrial

from vaebench import results
from vaebench.config import RunConfig
from vaebench.core.errors import InputWarning
from vaebench.results import pruning
from vaebench.running.recording import config_of
from vaebench.running.sweeps.rounds import Tuned
from vaebench.running.sweeps.search import best

FILE = "finals.json"
"""The runs of winners, of this sweep and of smaller ones, that a sweep has added to its folder."""


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


def claim(out: Path, finals: Sequence[Final]) -> None:
    """Note in FILE, before they are trained, which runs of winners the sweep adds to the folder.

    A run that is there by then and not noted is the user's own.
    """
    noted = _noted(out)
    runs = {config.id for final in finals for config in final.tuned_runs}
    _note(out, noted | (runs - results.recorded(out).keys()))


def drop_earlier(out: Path, finals: Sequence[Final]) -> None:
    """Remove the final runs of trials that are the best no more, as of a smaller budget.

    Tables of the folder would show them beside the winners. Runs that no sweep of the folder has
    noted stay, and those of the winners on any seed. A warning says how many are removed.
    """
    now = {replace(config, seed=0).id for final in finals for config in final.runs}
    noted = _noted(out)
    earlier = [
        record.run
        for record in results.records(out, curves=False)
        if record.run in noted
        and (config := config_of(record)) is not None
        and replace(config, seed=0).id not in now
    ]
    if earlier:
        pruning.drop(out, earlier)
        _note(out, noted.difference(earlier))
        warnings.warn(
            f"{len(earlier)} final runs of trials that are the best no more were removed from "
            f"{out}; the trials are in trials.csv",
            InputWarning,
            stacklevel=3,
        )


def _note(out: Path, runs: set[str]) -> None:
    results.write_atomically(out / FILE, msgspec.json.encode(sorted(runs)))


def _noted(out: Path) -> set[str]:
    """The runs that sweeps have noted; in a folder of before, those that its tuning.json names."""
    try:
        return set(msgspec.json.decode((out / FILE).read_bytes(), type=list[str]))
    except (OSError, msgspec.MsgspecError):
        return {run for tuning in results.read_tuning(out) for run in tuning.tuned}
