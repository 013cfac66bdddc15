"""Tuning with Optuna, in fixed batches of trials; a sweep that was stopped can be resumed.

The search is a sequence of numbered slots, cut into batches. All of a batch is asked, then trained
side by side, then told in the order of its slots, before the next is asked; and each slot is asked
by a sampler seeded with its number. So a sweep that was killed goes on to the same end.

A trial that is refused, fails or diverges is recorded with its reason, as infinitely bad, and the
sweep goes on. That is final, whatever the cause: the trials after it were chosen knowing of it, and
stay the same at every resume. To try it again, begin anew in another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import optuna
import tomli_w
from optuna.distributions import BaseDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.study import Study, expand, resolve
from vaebench.core.errors import InputError
from vaebench.ops.noise import key
from vaebench.report.training import ended
from vaebench.running.cluster import NO_CLUSTER, Cluster
from vaebench.running.harness import Progress, silent, train_all
from vaebench.running.search_space import Params, search_space, with_params

if TYPE_CHECKING:
    import pandas as pd

Ending = results.Status | Literal["refused"]
TARGETS: Mapping[str, tuple[str, float]] = {"nll": ("valid_nll", 1.0), "elbo": ("valid_elbo", -1.0)}
"""What a sweep minimises: a metric of the evaluation on the validation part, times a sign."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its value, infinite where it was lost, its status and the reason."""

    value: float
    status: Ending = "done"
    reason: str = ""
    training: str = ""
    """Which runs stopped early and whose best weights were kept, in words; "" where none."""


def sweep(
    study: Study,
    out: Path,
    num_trials: int,
    *,
    executor: str = "local",
    workers: int | None = None,
    cluster: Cluster = NO_CLUSTER,
    compiles: str = "auto",
    plugins: Sequence[str] = (),
    progress: Progress = silent,
) -> pd.DataFrame:
    """Tune the one variant of a study; returns its trials, best first.

    A trial's value is the mean over the study's seeds; one that was refused, or of which a run
    failed or diverged, is infinite. Writes OUT/sweep.journal, OUT/trials.csv and, where a trial was
    not lost, OUT/best.toml beside the records of the runs. Raises InputError where the study has
    several variants or nothing to tune.
    """
    if num_trials < 1:
        raise InputError(f"there must be at least one trial; got {num_trials}")
    seeds = expand(study)
    if len({msgspec.structs.replace(c, seed=0).id for c in seeds}) > 1:
        raise InputError("a sweep tunes one variant: leave only seeds in the axes, as --set can")
    space = search_space(seeds[0], study)

    def evaluate(batch: Sequence[Params]) -> list[Outcome]:
        trials = [_trial_runs(seeds, params) for params in batch]
        configs = {c.id: c for trial in trials if not isinstance(trial, Outcome) for c in trial}
        train_all(
            list(configs.values()),
            out,
            study.name,
            executor=executor,
            workers=workers,
            cluster=cluster,
            compiles=compiles,
            times=num_trials / len(trials),
            plugins=plugins,
            progress=progress,
        )
        records = {r.run: r for r in results.records(out) if r.run in configs}
        return [
            trial
            if isinstance(trial, Outcome)
            else _outcome([records[c.id] for c in trial], study.sweep.target)
            for trial in trials
        ]

    results.prepare(out)
    with results.alone(out):
        tuned = open_study(out / "sweep.journal", _name(study, seeds, space))
        if not tuned.trials:
            for of_another in ("trials.csv", "best.toml"):
                (out / of_another).unlink(missing_ok=True)
        try:
            search(tuned, space, num_trials, study.sweep.batch, study.sweep.seed, evaluate)
        except KeyboardInterrupt as interrupt:
            num_ended = len(_slots(tuned, TrialState.COMPLETE))
            interrupt.add_note(f"{num_ended} of {num_trials} trials have ended")
            raise
        return _write_outcome(tuned, out, seeds[0], num_trials)


def search(
    study: optuna.Study,
    space: Mapping[str, BaseDistribution],
    num_trials: int,
    batch: int,
    seed: int,
    evaluate: Callable[[Sequence[Params]], Sequence[Outcome]],
) -> None:
    """Run the trials of all slots below `num_trials` that are not complete, batch by batch."""
    _fail_unfinished(study)
    failed = _slots(study, TrialState.FAIL)
    for first in range(0, num_trials, batch):
        done = _slots(study, TrialState.COMPLETE)
        trials = [
            _ask(study, space, slot, seed, failed.get(slot))
            for slot in range(first, min(first + batch, num_trials))
            if slot not in done
        ]
        if trials:
            outcomes = evaluate([trial.params for trial in trials])
            for trial, outcome in zip(trials, outcomes, strict=True):
                if outcome.status != "done":
                    trial.set_user_attr("lost", [outcome.status, outcome.reason])
                if outcome.training:
                    trial.set_user_attr("training", outcome.training)
                study.tell(trial, outcome.value)


def open_study(path: Path, name: str) -> optuna.Study:
    """Open an Optuna study in a journal file; a last line that was cut short is removed first."""
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


class FileLock:
    """A file lock that the system frees when its holder dies; Optuna's own would remain."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR)

    def acquire(self) -> bool:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)


def _fail_unfinished(study: optuna.Study) -> None:
    """Mark as failed the trials that a killed sweep queued or began and did not end."""
    for _ in study.get_trials(states=(TrialState.WAITING,)):
        study.tell(study.ask(), state=TrialState.FAIL)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _slots(study: optuna.Study, state: TrialState) -> dict[int, FrozenTrial]:
    trials = study.get_trials(states=(state,))
    return {t.user_attrs["slot"]: t for t in trials if "slot" in t.user_attrs}


def _ask(
    study: optuna.Study,
    space: Mapping[str, BaseDistribution],
    slot: int,
    seed: int,
    failed: FrozenTrial | None,
) -> optuna.Trial:
    """The trial of a slot; one that was begun before and did not end gets its parameters again."""
    if failed is not None:
        study.enqueue_trial(failed.params)
    study.sampler = optuna.samplers.TPESampler(seed=key("sweep", seed, slot) % 2**32)
    trial = study.ask(fixed_distributions=dict(space))
    trial.set_user_attr("slot", slot)
    return trial


def _trial_runs(seeds: Sequence[RunConfig], params: Params) -> list[RunConfig] | Outcome:
    """The runs of a trial, or the outcome of one whose configuration is refused."""
    try:
        return resolve([with_params(config, params) for config in seeds])
    except InputError as error:
        resolve(seeds)  # a study that is refused by now, its data gone, stops the sweep instead
        return Outcome(math.inf, "refused", str(error))


def _outcome(runs: Sequence[results.Record], target: str) -> Outcome:
    """The mean of the target over a trial's seeds; infinite where a run has none."""
    name, sign = TARGETS[target]
    for record in runs:
        if record.status != "done":
            return Outcome(math.inf, record.status, record.reason.strip().rpartition("\n")[2])
    values = [m.value for r in runs for m in r.metrics if m.metric == name and m.value is not None]
    if len(values) < len(runs):
        return Outcome(math.inf, "diverged", f"{name} is not finite")
    training = ended(results.frame(runs).drop_duplicates("run"))
    return Outcome(sign * statistics.fmean(values), training=training)


def _name(study: Study, seeds: Sequence[RunConfig], space: Mapping[str, BaseDistribution]) -> str:
    """The name of a search in its journal: a changed study gets another, and starts anew."""
    identity = f"{[c.id for c in seeds]} {sorted(space.items())} {study.sweep}"
    return f"{study.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _write_outcome(
    tuned: optuna.Study, out: Path, config: RunConfig, num_trials: int
) -> pd.DataFrame:
    import pandas as pd

    slots = sorted(_slots(tuned, TrialState.COMPLETE).items())
    complete = {slot: trial for slot, trial in slots if slot < num_trials}
    lines = [_line(slot, trial) for slot, trial in complete.items()]
    table = pd.DataFrame(lines).sort_values("value", kind="stable", ignore_index=True)
    results.write_atomically(out / "trials.csv", table.to_csv(index=False).encode())
    best = complete[table["trial"][0]]
    if best.value == math.inf:
        (out / "best.toml").unlink(missing_ok=True)
        return table
    base = _without_none(msgspec.to_builtins(with_params(config, best.params)))
    for filled_in in ("seed", "plugin"):
        base.pop(filled_in)
    base["data"].pop("fingerprint")
    toml = tomli_w.dumps({"name": f"{config.objective.name}_tuned", "base": base})
    results.write_atomically(out / "best.toml", toml.encode())
    return table


def _line(slot: int, trial: FrozenTrial) -> dict[str, Any]:
    status, reason = trial.user_attrs.get("lost", ("done", ""))
    return {
        "trial": slot,
        "value": trial.value,
        "status": status,
        "reason": reason,
        "training": trial.user_attrs.get("training", ""),
        **trial.params,
    }


def _without_none(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    return {k: _without_none(v) for k, v in table.items() if v is not None}
