"""Tuning with Optuna: one coordinator that asks and tells in fixed batches, resumable at any point.

The search is a sequence of numbered slots, cut into batches. All of a batch is asked, then trained
side by side, then told in the order of its slots, before the next is asked; and each slot is asked
by a sampler seeded with its number. So a sweep that was killed goes on to the same end.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import optuna
import tomli_w
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from vaebench import results
from vaebench.config import Choice, RunConfig, parse
from vaebench.errors import InputError
from vaebench.harness import Progress, silent, train_all
from vaebench.likelihoods import LIKELIHOODS
from vaebench.noise import key
from vaebench.objectives import OBJECTIVES
from vaebench.posteriors import POSTERIORS
from vaebench.priors import PRIORS
from vaebench.study import Study, expand, resolve

if TYPE_CHECKING:
    import pandas as pd

Params = dict[str, Any]
TARGETS: Mapping[str, tuple[str, float]] = {"nll": ("valid_nll", 1.0), "elbo": ("valid_elbo", -1.0)}
"""What is minimised: a metric of the shared evaluation on the validation part, and its sign."""


def sweep(
    study: Study,
    out: Path,
    num_trials: int,
    *,
    executor: str = "local",
    workers: int | None = None,
    compiles: str = "auto",
    plugins: Sequence[str] = (),
    progress: Progress = silent,
) -> pd.DataFrame:
    """Tune the one variant of a study; returns its trials, best first.

    A trial's value is the mean over the study's seeds; one with a run that diverged is infinite.
    Writes OUT/sweep.journal, OUT/trials.csv and OUT/best.toml beside the records of the runs.
    Raises InputError where the study has several variants or nothing to tune.
    """
    if num_trials < 1:
        raise InputError(f"there must be at least one trial; got {num_trials}")
    seeds = expand(study)
    if len({msgspec.structs.replace(c, seed=0).id for c in seeds}) > 1:
        raise InputError("a sweep tunes one variant: leave only seeds in the axes, as --set can")
    space = search_space(seeds[0], study)

    def evaluate(batch: Sequence[Params]) -> list[float]:
        trials = [[_with(config, params) for config in seeds] for params in batch]
        configs = {c.id: c for trial in trials for c in resolve(trial)}
        train_all(
            list(configs.values()),
            out,
            study.name,
            executor=executor,
            workers=workers,
            compiles=compiles,
            plugins=plugins,
            progress=progress,
        )
        return [_value(out, [c.id for c in resolve(trial)], study.sweep.target) for trial in trials]

    results.prepare(out)
    with only_one(out / "sweep.lock"):
        tuned = open_study(out / "sweep.journal", _name(study, seeds, space))
        search(tuned, space, num_trials, study.sweep.batch, study.sweep.seed, evaluate)
        return _write_outcome(tuned, out, seeds[0], num_trials)


def search_space(config: RunConfig, study: Study) -> dict[str, BaseDistribution]:
    """The declared ranges of the registered parts, and those of the study, by field.

    A hyperparameter that follows a schedule is left to it.
    """
    parts = {
        "objective": (OBJECTIVES[config.objective.name].hyper, config.objective),
        "likelihood": (LIKELIHOODS[config.likelihood.name].hyper, config.likelihood),
        "posterior": (POSTERIORS[config.posterior.name].hyper, config.posterior),
        "prior": (PRIORS[config.prior.name].hyper, config.prior),
    }
    declared = {
        f"{kind}.{name}": (hyper, choice.hyper[name])
        for kind, (hypers, choice) in parts.items()
        for name, hyper in hypers.items()
    }
    space = {
        name: _distribution(hyper.search, hyper.log, hyper.integer)
        for name, (hyper, value) in declared.items()
        if hyper.search is not None and not isinstance(value, Choice)
    }
    for name, given in study.sweep.space.items():
        _with(config, {name: given.low})
        counts = name in declared and declared[name][0].integer
        space[name] = _distribution((given.low, given.high), given.log, counts)
    if not space:
        raise InputError(f"{config.variant} has nothing to tune: give ranges in [sweep.space]")
    return space


def search(
    study: optuna.Study,
    space: Mapping[str, BaseDistribution],
    num_trials: int,
    batch: int,
    seed: int,
    evaluate: Callable[[Sequence[Params]], Sequence[float]],
) -> None:
    """Fill the slots 0 to num_trials - 1 that are not complete, in batches."""
    _reap(study)
    failed = _slots(study, TrialState.FAIL)
    for first in range(0, num_trials, batch):
        done = _slots(study, TrialState.COMPLETE)
        trials = [
            _ask(study, space, slot, seed, failed.get(slot))
            for slot in range(first, min(first + batch, num_trials))
            if slot not in done
        ]
        if trials:
            for trial, value in zip(trials, evaluate([t.params for t in trials]), strict=True):
                study.tell(trial, value)


def open_study(path: Path, name: str) -> optuna.Study:
    """A study in a journal file whose torn last line, if it has one, is cut off."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = FileLock(path)
    lock.acquire()
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    lock.release()
    backend = JournalFileBackend(str(path), lock_obj=lock)
    return optuna.create_study(
        study_name=name, storage=JournalStorage(backend), load_if_exists=True
    )


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Holds a lock that ends with the process. Raises InputError where another holds it."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"one sweep at a time in {path.parent}; another is at work: wait, or choose --out"
            ) from error
        yield


class FileLock:
    """A lock that the kernel frees when its holder dies; Optuna's own would stay behind."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR)

    def acquire(self) -> bool:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)


def _reap(study: optuna.Study) -> None:
    """End what a killed sweep left: trials queued and never asked, trials asked and never told."""
    for _ in study.get_trials(states=(TrialState.WAITING,)):
        study.tell(study.ask(), state=TrialState.FAIL)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _slots(study: optuna.Study, state: TrialState) -> dict[int, optuna.trial.FrozenTrial]:
    trials = study.get_trials(states=(state,))
    return {t.user_attrs["slot"]: t for t in trials if "slot" in t.user_attrs}


def _ask(
    study: optuna.Study,
    space: Mapping[str, BaseDistribution],
    slot: int,
    seed: int,
    failed: optuna.trial.FrozenTrial | None,
) -> optuna.Trial:
    """The trial of a slot; one that was asked before and never told gets its parameters again."""
    if failed is not None:
        study.enqueue_trial(failed.params)
    study.sampler = optuna.samplers.TPESampler(seed=key("sweep", seed, slot) % 2**32)
    trial = study.ask(fixed_distributions=dict(space))
    trial.set_user_attr("slot", slot)
    return trial


def _distribution(limits: tuple[float, float], log: bool, counts: bool) -> BaseDistribution:
    low, high = limits
    if not (math.isfinite(low) and low < high < math.inf and (low > 0 or not log)):
        raise InputError(f"a range to search needs low < high, above 0 if log; got {low} to {high}")
    if counts:
        return IntDistribution(math.ceil(low), math.floor(high), log=log)
    return FloatDistribution(low, high, log=log)


def _with(config: RunConfig, params: Params) -> RunConfig:
    """The configuration with other values; "objective.beta" names a hyperparameter."""
    table = msgspec.to_builtins(config)
    for dotted, value in params.items():
        section, _, name = dotted.partition(".")
        target = table.get(section)
        if not isinstance(target, dict) or not name:
            raise InputError(f"{dotted!r} must be SECTION.NAME, as train.learning_rate is")
        target.get("hyper", target)[name] = value
    return parse(table)


def _value(out: Path, ids: Sequence[str], target: str) -> float:
    """The mean of the target over a trial's seeds; infinite where a run diverged."""
    name, sign = TARGETS[target]
    values = []
    for record in results.records(out):
        if record.run in ids:
            if record.status == "failed":
                raise InputError(f"run {record.run} failed, so the sweep stops: {record.reason}")
            found = [m.value for m in record.metrics if m.metric == name]
            values.append(math.inf if not found or found[0] is None else sign * found[0])
    return statistics.fmean(values)


def _name(study: Study, seeds: Sequence[RunConfig], space: Mapping[str, BaseDistribution]) -> str:
    """A study that changed is another search: its trials are not mixed with the old ones."""
    identity = f"{[c.id for c in seeds]} {sorted(space.items())} {study.sweep}"
    return f"{study.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _write_outcome(
    tuned: optuna.Study, out: Path, config: RunConfig, num_trials: int
) -> pd.DataFrame:
    import pandas as pd

    slots = sorted(_slots(tuned, TrialState.COMPLETE).items())
    complete = {slot: trial for slot, trial in slots if slot < num_trials}
    lines = [{"trial": s, "value": t.value, **t.params} for s, t in complete.items()]
    table = pd.DataFrame(lines).sort_values("value", kind="stable", ignore_index=True)
    results.write_atomically(out / "trials.csv", table.to_csv(index=False).encode())
    best = min(complete.values(), key=lambda trial: trial.value or 0.0).params
    base = _without_none(msgspec.to_builtins(_with(config, best)))
    for filled_in in ("seed", "plugin"):
        base.pop(filled_in)
    toml = tomli_w.dumps({"name": f"{config.objective.name}_tuned", "base": base})
    results.write_atomically(out / "best.toml", toml.encode())
    return table


def _without_none(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    return {k: _without_none(v) for k, v in table.items() if v is not None}
