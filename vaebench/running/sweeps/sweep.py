"""Tunes the variants of a study: searches in rounds, then finals on fresh seeds, then tables."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from optuna.storages import BaseStorage

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.study import Study
from vaebench.config.sweep import Budget
from vaebench.running.checks import check
from vaebench.running.cluster import NO_CLUSTER, Cluster
from vaebench.running.harness import time_all, train_all
from vaebench.running.listeners import NOBODY, Audience
from vaebench.running.meter import Progress, silent
from vaebench.running.sweeps.clock import Clock
from vaebench.running.sweeps.figures import folder_names, write_figures
from vaebench.running.sweeps.finals import claim, drop_earlier, finals
from vaebench.running.sweeps.goals import Goals, goals_of
from vaebench.running.sweeps.judging import judged
from vaebench.running.sweeps.outcome import Amount, amount
from vaebench.running.sweeps.place import Place
from vaebench.running.sweeps.pruners import PRUNERS, Pruning
from vaebench.running.sweeps.quiet import quiet
from vaebench.running.sweeps.rounds import Rounds, Tuned
from vaebench.running.sweeps.samplers import SAMPLERS, Sampling
from vaebench.running.sweeps.search import Search
from vaebench.running.sweeps.setting import Setting, construct
from vaebench.running.sweeps.standing import of_round, standing
from vaebench.running.sweeps.steppings import Steppings
from vaebench.running.sweeps.storage import (
    closing,
    open_database,
    open_journal,
    open_study,
    storing,
)
from vaebench.running.sweeps.tables import clear, write_best, write_trials, write_tuning
from vaebench.running.sweeps.variants import Variant, variants_of

if TYPE_CHECKING:
    import pandas as pd

OF_A_SEARCH = ("target", "constraints", "space", "sampler", "pruner", "batch", "seed")
"""The settings of a sweep that decide its trials: where one changes, searches begin anew."""
USUAL_TRIALS = 40
"""Trials of a search for which it is chosen how steps are taken, where they are not counted."""
MOST_OF_NAME = 200
"""Letters of a variant's name in that of its search: databases take 512."""


@dataclass(frozen=True)
class Plan:
    """A sweep before it starts: all that can be refused of it is."""

    study: Study
    variants: Sequence[Variant]
    goals: Goals
    amount: Amount
    ways: Sequence[tuple[Sampling, Pruning]]
    """How the trials of each variant are chosen and ended."""

    @property
    def configs(self) -> Iterator[RunConfig]:
        """The runs of all variants, as the study has them."""
        return (config for variant in self.variants for config in variant.runs)


def sweep(
    study: Study,
    out: Path,
    budget: Budget | None = None,
    *,
    storage: str = "",
    executor: str = "local",
    workers: int | None = None,
    cluster: Cluster = NO_CLUSTER,
    compiles: str = "auto",
    plugins: Sequence[str] = (),
    timings: bool = True,
    figures: bool = False,
    progress: Progress = silent,
    audience: Audience = NOBODY,
) -> pd.DataFrame:
    """Tune every variant of a study with the same budget; returns all trials, best first.

    `budget`: in the place of the study's, of each variant, earlier trials included. `storage`: the
    URL of a database for them, in the place of the study's. A trial's values are means over the
    study's seeds, on the validation part; one that was refused, or of which a run failed or
    diverged, is infinitely bad. `figures`: draw each search too, where the extra `report` is
    installed.

    Writes beside the final runs, which are on fresh seeds and graded in full: trials/ (the runs of
    trials), sweep.journal, trials.csv, best.toml, tuning.json and, of several targets, pareto.csv;
    figures/ where they are asked for. Raises InputError for anything that could not start.
    """
    planned = plan(study, budget)
    check([*planned.configs], executor, workers, cluster, plugins, compiles)
    url = storage or study.sweep.storage
    database = open_database(url) if url else None
    results.prepare(out)
    conclude = functools.partial(judged, graded=planned.goals.graded)
    folder = out / "trials"
    place = Place(folder, study.name, executor, workers, cluster, plugins, conclude, audience)
    with results.alone(out), closing(database or open_journal(out / "sweep.journal")) as kept:
        # Quiet all along: to silence Optuna's log anew for each trial takes a tenth of the time.
        with storing(url or str(out / "sweep.journal")), quiet():
            tuned = _searches(planned, kept, compiles)
            _search(planned, tuned, place, out, progress)
        trials = write_trials(out, tuned, planned.goals)
        if figures:
            _draw(out / "figures", tuned)
        ended = finals(tuned, study.sweep.final_seeds)
        write_best(out, study.name, ended)
        claim(out, ended)
        if runs := [config for final in ended for config in final.runs]:
            how: dict[str, Any] = {"executor": executor, "workers": workers, "cluster": cluster}
            how |= {"compiles": compiles, "plugins": plugins}
            train_all(runs, out, study.name, **how, progress=progress, audience=audience)
            if timings:
                time_all(runs, out, study.name, progress=progress)
        drop_earlier(out, ended)
        write_tuning(out, ended, planned.goals)
    return trials


def _draw(folder: Path, tuned: Sequence[Tuned]) -> None:
    """Write the figures of each search, in a folder of its own."""
    names = folder_names([one.variant.name for one in tuned])
    for name, one in zip(names, tuned, strict=True):
        write_figures(folder / name, one)


def plan(study: Study, budget: Budget | None = None) -> Plan:
    """What a sweep of this study will do. Raises InputError for anything that could not start."""
    variants = variants_of(study)
    goals = goals_of(study.sweep, variants[0].runs[0])
    most = amount(study.sweep.budget if budget is None else budget)
    settings = [_setting(study, variant, most) for variant in variants]
    ways = [
        (construct(SAMPLERS, study.sweep.sampler, one), construct(PRUNERS, study.sweep.pruner, one))
        for one in settings
    ]
    return Plan(study, variants, goals, most, ways)


def _setting(study: Study, variant: Variant, most: Amount) -> Setting:
    return Setting(
        variant.space.distributions,
        study.sweep.seed,
        study.sweep.batch,
        study.sweep.targets,
        len(variant.runs),
        variant.runs[0].train.num_steps,
        most.trials,
    )


def _searches(planned: Plan, storage: BaseStorage, compiles: str) -> list[Tuned]:
    """The search of each variant, with the trials that it has."""
    goals = planned.goals
    is_timed = goals.timed or planned.amount.what == "seconds"
    names = [goal.column for goal in goals.targets]
    tuned = []
    for variant, (sampling, pruning) in zip(planned.variants, planned.ways, strict=True):
        stored = open_study(storage, _name(planned.study, variant), goals.directions, names)
        distributions, batch = variant.space.distributions, planned.study.sweep.batch
        search = Search(stored, distributions, sampling, pruning, batch)
        num_trials = planned.amount.trials or USUAL_TRIALS
        steppings = Steppings(stored, compiles, num_trials)
        tuned.append(Tuned(variant, search, Clock(stored, is_timed), steppings))
    return tuned


def _name(study: Study, variant: Variant) -> str:
    """The name of a search where trials are kept: a changed study gets another, and starts anew."""
    section = asdict(study.sweep)
    identity = repr(
        (
            [config.id for config in variant.runs],
            sorted(variant.space.distributions.items()),
            [section[name] for name in OF_A_SEARCH],
        )
    )
    mark = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{study.name}: {variant.name[:MOST_OF_NAME]} [{mark}]"


def _search(
    planned: Plan, tuned: Sequence[Tuned], place: Place, out: Path, progress: Progress
) -> None:
    """Play rounds until no variant has anything left of its budget.

    Where all begins anew, the tables of another search go first.
    """
    if not any(one.search.told for one in tuned):
        clear(out)
    rounds = Rounds(place, planned.goals, planned.amount)
    for one in tuned:
        place.prepare(one.search.pruning.stages)
    words = f"tuning {len(tuned)} variants, {planned.amount} each"
    try:
        batches = rounds.turn([], tuned)
        if batches:
            place.num_workers()  # refused, where there is no such place, before anything is said
        with progress(words, 0) as meter, place.session() as session:
            target = planned.goals.targets[0]
            stands = standing(tuned, target, planned.amount)
            while batches:
                rounds.play(batches, session, of_round(stands, meter))
                batches = rounds.turn(batches, tuned)
                stands = standing(tuned, target, planned.amount)
                meter.on_standing(stands)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{_counted(tuned)}, of {planned.amount} for each variant")
        raise


def _counted(tuned: Sequence[Tuned]) -> str:
    num = sum(len(one.search.told) for one in tuned)
    return f"{num} trials have ended"
