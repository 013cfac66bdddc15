"""The records of all submissions, in divisions: within one of them figures can be compared.

A division is an observation space, the bytes of its data, the protocol of training and the way in
which the NLL was made. Records are told apart by their submission: variants have its name before
theirs, and runs its place. All else is what a report does with the rows of one folder.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from vaebench.league.submission import Submission
from vaebench.report.standings import KEYS, RANKED_BY, Examples
from vaebench.results import Record
from vaebench.running.recording import config_of, protocol_of

Line = tuple[str, ...]
"""A line of a table: the values of KEYS."""


@dataclass(frozen=True)
class Entered:
    """What is ranked: records as rows are made of them, and of whose submission each line is."""

    records: Sequence[Record]
    """The records of runs, and after them those of timing passes."""
    submission_of: Mapping[Line, int]
    evaluations: Mapping[Line, float]
    """Examples times samples that were decoded in the training of a run, on average."""
    examples: Examples
    """By the run of a record here."""


def enter(submissions: Sequence[Submission]) -> Entered:
    """The records of submissions, put into their divisions."""
    runs, timings = [], []
    submission_of: dict[Line, int] = {}
    evaluations: dict[Line, list[float]] = defaultdict(list)
    for place, submission in enumerate(submissions):
        for record, way in _with_ways(submission.records):
            entered = _entered(record, place, submission.name, way)
            runs.append(entered)
            submission_of[_line(entered)] = place
            if (num := _evaluations(record)) is not None:
                evaluations[_line(entered)].append(num)
            timings += [
                _timing(timed, entered, place)
                for timed in submission.timings
                if timed.config["runs"][0] == record.run
            ]

    @functools.cache
    def examples(run: str) -> Mapping[str, NDArray[Any]]:
        place, _, name = run.partition("/")
        return submissions[int(place)].examples(name)

    means = {line: float(np.mean(values)) for line, values in evaluations.items()}
    return Entered([*runs, *timings], submission_of, means, examples)


def _with_ways(records: Sequence[Record]) -> Iterator[tuple[Record, str]]:
    """Each record with the way in which its NLL was made, by fingerprint.

    A run without an NLL, as one that was lost, counts wherever its submission has runs of the same
    division else: it must not vanish.
    """
    ways: dict[str, set[str]] = defaultdict(set)
    for record in records:
        ways[_division(record)] |= _ways(record)
    for record in records:
        for way in sorted(_ways(record) or ways[_division(record)] or {"none"}):
            yield record, way


def _ways(record: Record) -> set[str]:
    return {m.fingerprint for m in record.metrics if m.metric == RANKED_BY and m.value is not None}


def _division(record: Record) -> str:
    data = record.config["data"]["fingerprint"]
    return f"{record.labels.observation_space}, data {data}, protocol {protocol_of(record)}"


def _entered(record: Record, place: int, name: str, way: str) -> Record:
    labels = replace(
        record.labels,
        observation_space=f"{_division(record)}, NLL {way}",
        variant=f"{name}: {record.labels.variant}",
    )
    return replace(record, run=f"{place}/{record.run}", labels=labels)


def _timing(timed: Record, of: Record, place: int) -> Record:
    """The timing of a variant, in the division of its first run and with that one's settings."""
    labels = replace(of.labels, seed=None)
    metrics = [metric for metric in timed.metrics if metric.metric in TIMED]
    return replace(
        timed, run=f"{place}/{timed.run}", labels=labels, config=of.config, metrics=metrics
    )


TIMED = ("step_time", "examples_per_s")
"""Figures of a timing pass that mean something beside another machine's."""


def _line(record: Record) -> Line:
    return tuple(getattr(record.labels, name) for name in KEYS)


def _evaluations(record: Record) -> float | None:
    """Examples times samples that a run's training decoded; None where it is not known."""
    config = config_of(record)
    if config is None or record.training is None:
        return None
    return float(config.evaluations_per_step * record.training.steps)
