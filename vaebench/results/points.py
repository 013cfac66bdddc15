"""The learning curves of a results folder as long rows, alone or beside the figures of its runs."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vaebench.results.columns import Numbers, Texts, category_columns, text_columns
from vaebench.results.folder import records, timings
from vaebench.results.record import Labels, Record
from vaebench.results.rows import TRAINING, Runs, loaded

if TYPE_CHECKING:
    import pandas as pd

COSTS = frozenset({"decoder_evaluations", "seconds"})
"""Columns of the curves that are not recorded, but follow from steps."""


def curves(
    out: str | Path, names: Collection[str] | None = None, columns: Collection[str] | None = None
) -> pd.DataFrame:
    """Read the learning curves of a results folder: one row per run and logged step.

    Beside "step" stand the "decoder_evaluations" (steps x samples x batch size) and the "seconds"
    (steps x the time of a step in the last timing pass; NaN where that has not timed the variant)
    that training has taken by then.

    With `names`, of these curves alone; with `columns`, with these of the runs': a large folder has
    millions of rows.
    """
    points, runs = Points(Path(out), names), Runs()
    for record in records(Path(out)):
        runs.add(record)
        points.add(record)
    return points.table(runs, columns, text_columns)


def load_with_curves(
    folder: Path,
    names: Collection[str],
    columns: Collection[str],
    watch: Callable[[Record], None],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `load` and `curves` read, and every record shown to `watch`, from one reading.

    Texts are categories, in which a large folder takes a third of the time and of the memory.
    Raises InputError where there are no results.
    """
    points = Points(folder, names)

    def every() -> Iterator[Record]:
        for record in records(folder):
            points.add(record)
            watch(record)
            yield record

    rows = loaded(folder, every())
    return rows.table(category_columns), points.table(rows.runs, columns, category_columns)


class Points:
    """The points of learning curves, gathered record by record."""

    def __init__(self, folder: Path, names: Collection[str] | None = None) -> None:
        self.names = names
        self.step_s = {_line_of(t): ms / 1e3 for t in timings(folder) if (ms := _step_ms(t))}
        self.counts, self.points = array("q"), Numbers()

    def add(self, record: Record) -> None:
        """The points of one more run, where it has any."""
        names, length = self.names, len(record.curves.get("step", ()))
        self.counts.append(length)
        if not length:
            return
        shown = {n: v for n, v in record.curves.items() if names is None or n in names}
        if names is None or not COSTS.isdisjoint(names):
            step_s = self.step_s.get(_line_of(record), math.nan) if self.step_s else math.nan
            shown |= _costs(record, step_s)
        self.points.add(shown, length)

    def table(self, runs: Runs, columns: Collection[str] | None, texts: Texts) -> pd.DataFrame:
        """The table of all points, with the columns of their runs."""
        import pandas as pd

        if not self.points.length:
            return pd.DataFrame()
        common, configured = runs.columns(self.counts, texts, columns)
        first = {name: common.pop(name) for name in ("run", *TRAINING) if name in common}
        for absent in ("study", "status", "reason", "environment"):
            common.pop(absent, None)
        return pd.DataFrame(self.points.columns() | first | common | configured, copy=False)


def _line_of(record: Record) -> Labels:
    """The labels that the runs of a line and their timing share."""
    return msgspec.structs.replace(record.labels, seed=None)


def _step_ms(timing: Record) -> float | None:
    return next((m.value for m in timing.metrics if m.metric == "step_time"), None)


def _costs(record: Record, step_s: float) -> dict[str, list[float | None]]:
    """What training has taken by each point; NaN where the configuration does not say."""
    train = record.config.get("train")
    settings = train if isinstance(train, dict) else {}
    num_examples = settings.get("batch_size", math.nan) * settings.get("accumulate", 1)
    per_step = {
        "decoder_evaluations": record.labels.num_samples * num_examples,
        "seconds": step_s,
    }
    return {
        name: [None if step is None else step * cost for step in record.curves["step"]]
        for name, cost in per_step.items()
    }
