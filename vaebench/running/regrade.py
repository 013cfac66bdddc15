"""Recorded runs graded again from their weights, with more samples or by other gradings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from vaebench import results
from vaebench.config import RunConfig, evaluation_settings
from vaebench.config.build import load_data, subject
from vaebench.core.errors import InputError, InputWarning, StorageError, near_match
from vaebench.core.memory import within_memory
from vaebench.data import Dataset
from vaebench.evaluation import Evaluation, Subject, budget, check, evaluate
from vaebench.results import Metric, Record
from vaebench.running.grading import pictures
from vaebench.running.meter import Progress, silent
from vaebench.running.plan import stacks
from vaebench.running.restoring import configured, restored
from vaebench.running.standing import Standing

TOO_LARGE = "an evaluation must fit into memory: take fewer samples or images"
Configured = tuple[Record, RunConfig]
"""A recorded run and its configuration, which has been checked."""


@dataclass(frozen=True)
class Request:
    """Which runs of a folder to grade, and the settings that replace those of the runs."""

    folder: Path
    runs: Sequence[str] = ()
    """Ids of runs; where there are none, all that are done."""
    num_samples: int | None = None
    gradings: Sequence[Any] = ()
    """Names, or tables with scalars, as in a study; where there are none, those of the runs."""


def regrade(
    request: Request, *, keep: bool = False, progress: Progress = silent
) -> list[dict[str, Any]]:
    """Grade recorded runs: a row per run and metric.

    `keep`: the figures also go into the records, beside those that they have, and what there is to
    look at into the folder.

    A run that cannot be graded, for its record, its data or its weights, is one row without a
    metric whose `trust` says why, and the others are graded. Raises InputError for a request that
    cannot be met, as for a run that is not there, and where figures of another K would be kept:
    K is part of what a record is compared by.
    """
    if keep and request.num_samples is not None:
        raise InputError(
            "figures are kept at the K of their run alone, as runs are compared at one K: "
            "leave out --samples or --keep"
        )
    records = _records_of(request)
    if keep:
        results.prepare(request.folder)
    fit, unfit = _parted(request.folder, records, keep)
    _check(request, fit)
    rows = [_refusal(record, reason) for record, reason in unfit]
    with progress(f"grading {len(fit)} runs", 0) as meter:
        num_tried = len(unfit)
        for records, configs in _stacks(fit):
            rows += _rows_of_stack(request, records, configs, keep)
            num_tried, refused = num_tried + len(records), sum(not row["metric"] for row in rows)
            counts = {"done": num_tried - refused, "not graded": refused}
            meter.on_standing(Standing(counts, len(fit) + len(unfit)))
    return rows


def _check(request: Request, fit: Sequence[Configured]) -> None:
    """Raises InputError where what the request asks for is unknown, or refused for some run.

    One run of each stack is looked at, before anything is graded.
    """
    if request.gradings or request.num_samples is not None:
        for records, configs in _stacks(fit):
            check(*_graded(request, records[:1], configs[:1]))


def _rows_of_stack(
    request: Request, records: Sequence[Record], configs: Sequence[RunConfig], keep: bool
) -> list[dict[str, Any]]:
    """The rows of runs that are graded side by side; one each where they cannot be graded."""
    try:
        with within_memory(TOO_LARGE):
            graded, wanted = _graded(request, records, configs)
            evaluation = evaluate(graded, wanted)
    except InputError as error:
        if request.gradings or request.num_samples is not None:
            raise  # the request's fault; else it is what these runs were graded by
        return [_refusal(record, str(error)) for record in records]
    rows = _rows(records, evaluation)
    return rows + (_kept(request.folder, records, evaluation, graded.dataset) if keep else [])


def _rows(records: Sequence[Record], evaluation: Evaluation) -> list[dict[str, Any]]:
    """The rows of a stack."""
    return [
        _row(record, metric)
        for i, record in enumerate(records)
        for metric in results.metrics(evaluation.grades, i)
    ]


def _kept(
    folder: Path, records: Sequence[Record], evaluation: Evaluation, dataset: Dataset
) -> list[dict[str, Any]]:
    """Add the figures of a stack to its records, with what there is to look at; a row for each
    record that has changed meanwhile."""
    rows = []
    for i, record in enumerate(records):
        metrics = results.metrics(evaluation.grades, i)
        try:
            results.add(folder, record, metrics, results.parts(evaluation.grades, i))
            for file in pictures(record.run, evaluation, i, dataset):
                results.write_part(folder, file.part, file.run, file.content)
        except StorageError:
            raise  # the next run's could not be written either
        except InputError as error:  # the record has changed meanwhile
            rows.append(_refusal(record, str(error)))
    return rows


def estimate_seconds(request: Request) -> dict[str, float]:
    """How many seconds each grading of a request will take over all its runs, by name."""
    seconds: dict[str, float] = {}
    fit, unfit = _parted(request.folder, _records_of(request), keep=False)
    for record, reason in unfit:
        warnings.warn(f"left out: {record.run}: {reason}", InputWarning, stacklevel=2)
    for records, configs in _stacks(fit):
        for name, value in budget(*_graded(request, records, configs)).items():
            seconds[name] = seconds.get(name, 0.0) + value
    return seconds


def _records_of(request: Request) -> list[Record]:
    """The records to grade. Raises InputError for a run that is not there or has no weights."""
    folder = request.folder
    done = {r.run: r for r in results.records(folder) if r.status == "done"}
    for run in request.runs:
        if run not in done:
            raise InputError(f"no finished run {run!r} in {folder}; {near_match(run, done)}")
        if not done[run].config:
            raise InputError(
                f"{run!r} is a model from elsewhere, of which no weights are recorded: evaluate "
                f"its file"
            )
    trained = {run: record for run, record in done.items() if record.config}
    if not trained:
        raise InputError(f"{folder} must hold finished runs; it has none: run a study first")
    return [trained[run] for run in dict.fromkeys(request.runs) or trained]


def _parted(
    folder: Path, records: Sequence[Record], keep: bool
) -> tuple[list[Configured], list[tuple[Record, str]]]:
    """The runs that can be graded with their configurations, and the others with the reason not."""
    fit, unfit = [], []
    for record in records:
        try:
            config = configured(folder, record)
            if keep:
                results.examples(folder, record.run)  # must be readable: the new ones join them
            fit.append((record, config))
        except InputError as error:
            unfit.append((record, str(error)))
    return fit, unfit


def _stacks(runs: Sequence[Configured]) -> Iterator[tuple[list[Record], list[RunConfig]]]:
    """The runs in stacks that are graded side by side.

    Records are told apart by their own id, not by that of the configuration: this changes when
    settings are added to the suite, and two records may then have the same one.
    """
    records = {id(config): record for record, config in runs}
    for configs in stacks([config for _, config in runs]):
        yield [records[id(config)] for config in configs], configs


def _graded(
    request: Request, records: Sequence[Record], configs: Sequence[RunConfig]
) -> tuple[Subject, Mapping[str, Mapping[str, float]]]:
    """A stack of models with their recorded weights, and the gradings to apply to it."""
    changes: dict[str, Any] = {"gradings": request.gradings} if request.gradings else {}
    if request.num_samples is not None:
        changes["num_samples"] = request.num_samples
    settings = evaluation_settings(msgspec.to_builtins(configs[0].evaluate) | changes)
    model = restored(request.folder, records, configs)
    graded = subject(model, load_data(configs[0].data), configs)
    return replace(graded, num_samples=settings.num_samples), settings.wanted


def _refusal(record: Record, reason: str) -> dict[str, Any]:
    return _row(record, Metric("", None, "", None, trust=reason))


def _row(record: Record, metric: Metric) -> dict[str, Any]:
    labels = record.labels
    return {
        "run": record.run,
        "variant": labels.variant,
        "likelihood": labels.likelihood,
        "seed": labels.seed,
        "study": record.study,
        **msgspec.structs.asdict(metric),
    }
