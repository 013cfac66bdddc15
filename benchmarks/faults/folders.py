"""What a folder holds: before and after a command was killed, and beside one that was not."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from vaebench import results
from vaebench.running.job import SETTLED
from vaebench.running.sweeps.storage import open_journal

NOT_COMPARED = ("work.lock", "records.lock", "sweep.journal", "sweep.journal.lock")
"""Files that name processes and times of day. What the journal says is in trials.csv too."""
Trial = tuple[str, int]
"""The name of a search and the number of one of its trials."""


@dataclass(frozen=True)
class State:
    """What is settled in an output folder."""

    records: Mapping[str, bytes]
    """The records of runs that are not of trials, by id."""
    trials: Mapping[Trial, tuple[object, ...]]
    """What the trials that were told drew, and how they ended."""
    of_trials: frozenset[str]
    """The runs of these."""
    in_stages: Mapping[int | None, frozenset[str]]
    """The runs that were recorded at the end of a stage of trials, by the step it ends at."""

    def repeats(self, log: Iterable[Mapping[str, Any]]) -> int:
        """How many of the stacks that were trained since held what was settled.

        Of a stack of trials that is not recorded to its last run nothing is settled.
        """
        trained = [(set(line["runs"]), line["until"]) for line in log if "runs" in line]
        return sum(
            bool(runs & (self.records.keys() | self.of_trials))
            or runs <= self.in_stages.get(until, frozenset())
            for runs, until in trained
        )

    def losses(self, now: State) -> int:
        """How many of the records and trials are no longer there, or are others."""
        return _num_changed(self.records, now.records) + _num_changed(self.trials, now.trials)


def state(out: Path) -> State:
    """What is settled in a folder, whose records are bytes on disk."""
    records = {r.run: r for r in results.records(out)} if (out / "runs").is_dir() else {}
    trials = dict(_told(out))
    return State(
        {
            run: results.file_of(out, "runs", run).read_bytes()
            for run, record in records.items()
            if record.status in SETTLED
        },
        {key: (t.params, t.values, t.state, t.user_attrs) for key, t in trials.items()},
        frozenset(run for trial in trials.values() for run in trial.user_attrs["runs"]),
        {until: frozenset(results.recorded(folder)) for until, folder in _stages(out)},
    )


def figures_lost(before: State, now: State) -> int:
    """How many figures of records are no longer there."""
    pairs = ((_figures(r), _figures(now.records.get(run))) for run, r in before.records.items())
    return sum(len(was - there) for was, there in pairs)


def differing(out: Path, reference: Path) -> list[str]:
    """The files that are in one of two folders alone, or are not the same bytes in both."""
    mine, theirs = _files(out), _files(reference)
    return sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))


def temporary(place: Path) -> list[Path]:
    """Files that were to be renamed or removed, in the output folder or the system's place."""
    return [*(place / "out").rglob("*.tmp"), *(place / "tmp").iterdir()]


def broken(place: Path) -> list[Path]:
    """Files that were set aside as broken."""
    return [*place.rglob("*.broken")]


def read_log(place: Path) -> list[dict[str, Any]]:
    """What was trained, and how many steps of writing were taken, since the log was made."""
    path = place / "log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def num_steps(place: Path) -> int:
    """How many steps of writing the command took that has run in a folder."""
    return max(line.get("steps", 0) for line in read_log(place))


def _num_changed(was: Mapping[Any, object], there: Mapping[Any, object]) -> int:
    return sum(there.get(key) != value for key, value in was.items())


def _figures(record: bytes | None) -> set[str]:
    return {m["metric"] for m in json.loads(record)["metrics"]} if record else set()


def _files(out: Path) -> dict[str, bytes]:
    paths = [path for path in out.rglob("*") if path.is_file() and path.name not in NOT_COMPARED]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def _told(out: Path) -> Iterator[tuple[Trial, optuna.trial.FrozenTrial]]:
    """The trials that have ended, from a copy of the journal, as reading it may mend it."""
    if not (out / "sweep.journal").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        storage = open_journal(Path(shutil.copy(out / "sweep.journal", folder)))
        for study in storage.get_all_studies():
            for trial in storage.get_all_trials(study._study_id):
                if trial.state.is_finished():
                    yield (study.study_name, trial.number), trial


def _stages(out: Path) -> Iterator[tuple[int | None, Path]]:
    if (out / "trials").is_dir():
        yield None, out / "trials"
    for folder in (out / "trials").glob("step-*"):
        yield int(folder.name.removeprefix("step-")), folder
