"""A submission graded again here, from its weights: its figures must come out as they are recorded.

What is graded is the likelihood: NLL, ELBO, rate and distortion, on test and validation data. Other
figures stay as they were submitted: counts and distances jump where a rounding does.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from vaebench import results
from vaebench.config import DataConfig
from vaebench.config.build import load_data
from vaebench.core.errors import InputError
from vaebench.core.plugins import load_plugins
from vaebench.league.submission import Submission, naming
from vaebench.report.standings import RANKED_BY
from vaebench.results import Metric, Record
from vaebench.results.files import storing
from vaebench.running.meter import Progress, silent
from vaebench.running.recording import config_of
from vaebench.running.regrade import Request, regrade

GRADED_AGAIN = "graded again here"
GRADING = "likelihood"
AGREEING = ("nll", "elbo", "rate", "distortion", "valid_nll", "valid_elbo")
"""The figures of that grading that must come out again: means over examples. A share of examples
beyond a threshold jumps where a rounding does."""
SAME = 1e-4
"""Figures agree within as much, in parts of 1 or the value. On one machine they are the same to
1e-5, to which a test holds them; the rest is for others, that sum float32 in another order."""


def graded_again(
    submission: Submission,
    folder: Path,
    *,
    data: Mapping[str, Path] | None = None,
    trust_plugins: bool = False,
    progress: Progress = silent,
) -> Submission:
    """Grade a submission again, in a new folder; the figures of the likelihood are then ours.

    `data`: files of data sets that are known by no name, by their labels. What cannot be graded
    here stays as it was submitted, with the reason: no weights, data that are not here, plugins
    that are not trusted, or figures that another version's grading made. Raises RefusedError where
    figures do not follow from the weights, or weights are of no such model.
    """
    with naming(submission.path, folder):
        if reason := _missing(submission, trust_plugins):
            return replace(submission, reason=reason)
        with storing(folder):
            shutil.copytree(submission.folder, folder)
        if trust_plugins:
            _load_plugins(submission, folder)
        if reason := _without_data(submission, folder, data or {}):
            return replace(submission, reason=reason)
        rows = regrade(Request(folder, gradings=(GRADING,)), keep=True, progress=progress)
        for row in rows:
            if not row["metric"]:
                raise InputError(f"run {row['run']} cannot be graded: {row['trust']}")
        again = [results.read(folder, record.run) for record in submission.records]
        for before, after in zip(submission.records, again, strict=True):
            if reason := _other_way(before, after):
                return replace(submission, reason=reason)
            _check_same(before, after)
    return replace(submission, folder=folder, records=again, graded=GRADED_AGAIN)


def _done(submission: Submission) -> list[Record]:
    return [record for record in submission.records if record.status == "done"]


def _missing(submission: Submission, trust_plugins: bool) -> str:
    """Why a submission cannot be graded again by what is in its bundle; "" where it can."""
    done, weights = _done(submission), submission.weights_of()
    if not done:
        return "none of its runs is done"
    if num := sum(record.run not in weights for record in done):
        return f"the weights of {num} of {len(done)} runs are not in its bundle"
    if any(record.config.get("plugin") for record in done) and not trust_plugins:
        return "it needs its plugins, which are run with --trust-plugins alone"
    return ""


def _load_plugins(submission: Submission, folder: Path) -> None:
    """Run the plugins of a submission. Raises InputError where they cannot be run."""
    load_plugins(str(folder / path) for path in submission.manifest.plugins)


def _without_data(submission: Submission, folder: Path, files: Mapping[str, Path]) -> str:
    """Which data are not here, or are others; "" where all are. Data that a bundle knows by a path
    are of another machine: they are read from the file given for their label, and from no other."""
    checked: dict[DataConfig, str] = {}
    for record in _done(submission):
        config = config_of(record)
        assert config is not None, "the submission has been checked"
        data = config.data
        if data.label in files:
            data = msgspec.structs.replace(data, name=str(files[data.label]))
            _point_to(folder, record, data.name)
        elif data.name != data.label:
            return f"its data {data.label!r} are a file: give it by --data {data.label}=FILE"
        if data not in checked:
            checked[data] = _refusal(data)
        if checked[data]:
            return checked[data]
    return ""


def _point_to(folder: Path, record: Record, name: str) -> None:
    """Let a record name its data as they are called here; a run's id is by label and bytes."""
    config: dict[str, Any] = record.config | {"data": record.config["data"] | {"name": name}}
    content = results.encoded(msgspec.structs.replace(record, config=config))
    results.write_part(folder, "runs", record.run, content)


def _refusal(data: DataConfig) -> str:
    try:
        load_data(data)
    except InputError as error:
        return str(error)
    return ""


def _other_way(before: Record, after: Record) -> str:
    """Why what ranks cannot be held against what is made here; "" where it can."""
    ways, here = (
        [m.fingerprint for m in record.metrics if m.metric == RANKED_BY]
        for record in (before, after)
    )
    if ways == here:
        return ""
    return "another version's grading made its figures" if ways else f"a run has no {RANKED_BY}"


def _check_same(before: Record, after: Record) -> None:
    """Raises InputError for a figure that its weights do not give, with both values."""
    figures = {metric.metric: metric for metric in after.metrics}
    for recorded in (metric for metric in before.metrics if metric.metric in AGREEING):
        ours = figures[recorded.metric]
        if not _agree(recorded, ours):
            raise InputError(
                f"figures must follow from the weights; run {before.run} records "
                f"{recorded.metric} {recorded.value!r}, its weights give {ours.value!r}"
            )


def _agree(recorded: Metric, ours: Metric) -> bool:
    if recorded.value is None or ours.value is None:
        return recorded.value == ours.value
    return abs(recorded.value - ours.value) <= SAME * max(1.0, abs(ours.value))
