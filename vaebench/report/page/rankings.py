"""The ranking of an observation space as cells that a page can show, sort and filter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vaebench import results
from vaebench.report.comparison import line_of
from vaebench.report.labels import display_names
from vaebench.report.spaces import SPACE, by_space
from vaebench.report.standings import mappings, text
from vaebench.report.tables import COLUMNS, cell, footnotes, rank_text, shown_metrics, title_of
from vaebench.report.verdicts import OPEN

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = ("nll", "active_units", "frechet", "step_time_ratio")
"""The metrics of the seven columns that are shown at once; the rest are shown on demand."""
ARROWS = {True: " ↑", False: " ↓", None: ""}
"""After a heading: whether higher or lower is better."""

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a ranking."""

    heading: str
    on_demand: bool = False
    words: str = ""
    """What the heading's arrow says."""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the value that it is sorted by."""

    text: str
    value: float | str
    why: str = ""
    """Why not to trust it."""


@dataclass(frozen=True)
class Row:
    """A variant: its place among the variants of the page, its name, and its cells."""

    variant: int
    name: str
    is_tied: bool
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Ranking:
    """The table of an observation space."""

    title: str
    space: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str]


def rankings(
    table: pd.DataFrame, pairs: pd.DataFrame, reference: str | None, places: Mapping[Any, int]
) -> list[Ranking]:
    """The rankings of the summary, with what `comparisons` says of each variant beside the
    reference: the one that is named, or the best. `places`: a number for each variant, by
    observation space and name."""
    of_space = by_space(pairs)
    return [
        _ranking(part, of_space.get(str(space), pairs.iloc[:0]), reference, places)
        for space, part in table.groupby(SPACE, sort=True)
    ]


def _ranking(
    part: pd.DataFrame, pairs: pd.DataFrame, reference: str | None, places: Mapping[Any, int]
) -> Ranking:
    names, lines, space = display_names(part), mappings(part), str(part[SPACE].iloc[0])
    by_name = dict(zip(names, part["variant"], strict=True))
    named = None if reference is None else line_of(by_name, reference)
    beside = named or names[0]
    differences = _differences(pairs, beside)
    metrics = shown_metrics(part, COLUMNS)
    columns = [
        Column("rank"),
        Column("variant"),
        Column("seeds", on_demand=True),
        *(_column(name) for name in metrics if name == "nll"),
        Column(f"NLL above {beside} (nats)" if named else "NLL above the best"),
        *(_column(name) for name in metrics if name != "nll"),
    ]
    rows = [
        Row(
            places[space, name],
            name,
            line["verdict"] in OPEN,
            [
                Cell(rank_text(line), line["rank"]),
                Cell(name, name),
                Cell(_seeds(line), line["done"]),
                *(_cell(line, metric) for metric in metrics if metric == "nll"),
                differences.get(name, Cell("" if name != beside else "0", 0.0)),
                *(_cell(line, metric) for metric in metrics if metric != "nll"),
            ],
        )
        for name, line in zip(names, lines, strict=True)
    ]
    return Ranking(title_of(part), space, columns, rows, footnotes(part))


def _column(metric: str) -> Column:
    _, better = results.UNITS.get(metric, ("", None))  # of layers, neither direction is better
    words = {True: "higher is better", False: "lower is better", None: ""}[better]
    return Column(f"{COLUMNS[metric][0]}{ARROWS[better]}", metric not in AT_ONCE, words)


def _cell(line: Line, metric: str) -> Cell:
    return Cell(cell(line, metric), line[f"{metric}_mean"], text(line, f"{metric}_trust"))


def _seeds(line: Line) -> str:
    return (
        f"{line['done']}" if line["done"] == line["runs"] else f"{line['done']} of {line['runs']}"
    )


def _differences(pairs: pd.DataFrame, beside: str) -> dict[str, Cell]:
    """How far each variant is above the reference, with its interval."""
    cells: dict[str, Cell] = {}
    if pairs.empty:
        return cells
    for line in mappings(pairs[(pairs["worse"] == beside) | (pairs["better"] == beside)]):
        other, sign = (line["worse"], 1.0) if line["better"] == beside else (line["better"], -1.0)
        ends = sorted(sign * line[end] for end in ("low", "high"))
        cells[other] = _difference(sign * line["difference"], *ends)
    return cells


def _difference(value: float, low: float, high: float) -> Cell:
    if value != value:
        return Cell("not compared", math.nan)
    interval = f" [{low:+.2f}, {high:+.2f}]" if low == low else ""
    return Cell(f"{value:+.2f}{interval}", value)
