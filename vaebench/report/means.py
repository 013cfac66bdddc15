"""Rows -> the mean of each metric over the runs of a line, with its interval and its provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaebench.report.statistics.intervals import mean_intervals

if TYPE_CHECKING:
    import pandas as pd

NUMBERS, TEXTS = ("low", "high", "reference"), ("fingerprint", "trust")
"""Columns that rows of earlier records lack."""
FIGURE = ["metric", "value", *NUMBERS, *TEXTS]
"""The columns that a mean is made of."""
Array = NDArray[Any]


def means(space: pd.DataFrame, lines: Array) -> list[dict[str, object]]:
    """The mean of each metric with its interval, and how it was made, for each line: columns
    {metric}_mean, _low, _high and those of `_provenance`, where rows have them.

    `lines` numbers the line of each row, from 0 on.
    """
    metrics, names = space["metric"].factorize()
    columns = {name: space[name].to_numpy() for name in FIGURE if name != "metric"}
    figures: list[dict[str, object]] = [{} for _ in range(lines.max(initial=-1) + 1)]
    every = [rows for rows in places_of(lines * len(names) + metrics) if names[metrics[rows[0]]]]
    intervals = _intervals(columns["value"], every)
    for rows, interval in zip(every, intervals.tolist(), strict=True):
        name, line = names[metrics[rows[0]]], lines[rows[0]]
        of_metric = {column: values[rows] for column, values in columns.items()}
        figure = dict(zip(("mean", "low", "high"), interval, strict=True)) | _provenance(of_metric)
        figures[line] |= {f"{name}_{field}": value for field, value in figure.items()}
    return figures


def places_of(codes: Array) -> list[Array]:
    """The places of each code in an array, the first that occurs first."""
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return sorted(filter(len, parts), key=lambda places: int(places[0]))


def _intervals(values: Array, every: Sequence[Array]) -> Array:
    """The mean of the values at each of many sets of places, with its interval [sets, 3].

    Sets of one size are handed on together, which takes a tenth of the time.
    """
    intervals = np.empty((len(every), 3))
    for same in places_of(np.array([len(places) for places in every])):
        of_size = np.stack([every[i] for i in same])
        intervals[same] = mean_intervals(values[of_size]).T
    return intervals


def _provenance(figures: Mapping[str, Array]) -> dict[str, object]:
    """How one metric of a variant was made, where its rows say: the mean ends of its sampling
    interval, what real data score, the fingerprints, and why not to trust it."""
    doubts = figures["trust"][figures["trust"] != ""]
    known = ~np.isnan(figures["value"])
    columns = {
        "sampling_low": _known_mean(figures["low"]),
        "sampling_high": _known_mean(figures["high"]),
        "reference": _known_mean(figures["reference"]),
        "fingerprint": _fingerprints(figures["fingerprint"][known]),
        "trust": doubts[0] if len(doubts) else "",
        "doubted": f"{len(doubts)} of {len(known)} runs" if len(doubts) else "",
    }
    return {name: value for name, value in columns.items() if value == value and value != ""}


def _known_mean(values: Array) -> float:
    """The mean of the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _fingerprints(of_values: Iterable[str]) -> str:
    """The fingerprints of values in words, "none" for one without; "" where all are without."""
    distinct = set(of_values)
    return "" if distinct <= {""} else " ".join(sorted(one or "none" for one in distinct))
