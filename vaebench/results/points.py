"""The learning curves of a results folder as long rows, alone or beside the figures of its runs."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from vaebench.core.beside import Beside, worthwhile
from vaebench.results.columns import Numbers, Texts, category_columns, text_columns
from vaebench.results.folder import records, timings
from vaebench.results.index import Stamps, files
from vaebench.results.record import Labels, Record
from vaebench.results.rows import TRAINING, Rows, Runs, with_timings

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Seen = TypeVar("Seen")
Watch = Callable[[Record], Seen]

COSTS = ("decoder_evaluations", "seconds")
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


def read_together(
    folder: Path, names: Collection[str], watch: Watch[Seen], second: Beside
) -> Read[Seen]:
    """Read what `load` and `curves` do, the latter of these names, and what `watch` sees in each
    record, by run, where it sees anything; each record once.

    Half of the records of a large folder are read in the `second` process. Raises InputError where
    there are no results.
    """
    stamps = files(folder)
    if worthwhile(len(stamps)):
        ordered, half = sorted(stamps.items()), len(stamps) // 2
        rest = second.begin(_read, folder, dict(ordered[half:]), names, watch)
        read = _read(folder, dict(ordered[:half]), names, watch)
        read.extend(rest())
    else:
        read = _read(folder, stamps, names, watch)
    with_timings(folder, read.rows)
    return read


def _read(folder: Path, stamps: Stamps, names: Collection[str], watch: Watch[Seen]) -> Read[Seen]:
    """Read the records of some files."""
    read: Read[Seen] = Read(Rows(), Points(folder, names), {})
    for record in records(folder, of=stamps):
        read.rows.add(record)
        read.points.add(record)
        if seen := watch(record):
            read.seen[record.run] = seen
    return read


@dataclass(frozen=True)
class Read(Generic[Seen]):
    """What records say, gathered record by record."""

    rows: Rows
    points: Points
    seen: dict[str, Seen]

    def extend(self, others: Read[Seen]) -> None:
        """What more records say, after these."""
        self.rows.extend(others.rows)
        self.points.extend(others.points)
        self.seen.update(others.seen)

    def curves(self, columns: Collection[str]) -> pd.DataFrame:
        """The learning curves, with these columns of their runs."""
        return self.points.table(self.rows.runs, columns, category_columns)


class Points:
    """The points of learning curves, gathered record by record."""

    def __init__(self, folder: Path, names: Collection[str] | None = None) -> None:
        self.names = names
        self.step_s = {_line_of(t): ms / 1e3 for t in timings(folder) if (ms := _step_ms(t))}
        self.counts, self.points = array("q"), Numbers()
        self.costs = Numbers(COSTS)

    def add(self, record: Record) -> None:
        """The points of one more run, where it has any."""
        names, length = self.names, len(record.curves.get("step", ()))
        self.counts.append(length)
        step_s = self.step_s.get(_line_of(record), math.nan) if self.step_s else math.nan
        self.costs.add(_costs(record, step_s), 1)
        if length:
            every = record.curves.items()
            shown = {n: v for n, v in every if names is None or n in names or n == "step"}
            self.points.add(shown, length)

    def extend(self, others: Points) -> None:
        """The points of more runs, after these."""
        self.counts.extend(others.counts)
        self.points.extend(others.points)
        self.costs.extend(others.costs)

    def table(self, runs: Runs, columns: Collection[str] | None, texts: Texts) -> pd.DataFrame:
        """The table of all points, with the columns of their runs."""
        import pandas as pd

        if not self.points.length:
            return pd.DataFrame()
        common, configured = runs.columns(self.counts, texts, columns)
        first = {name: common.pop(name) for name in ("run", *TRAINING) if name in common}
        for absent in ("study", "status", "reason", "environment"):
            common.pop(absent, None)
        points = self._columns()
        return pd.DataFrame(points | first | common | configured, copy=False)

    def _columns(self) -> dict[str, NDArray[Any]]:
        """The numbers of all points, those of COSTS with them, of the names that are wanted."""
        import numpy as np

        names, points = self.names, self.points.columns()
        for name, costs in self.costs.columns().items():
            if names is None or name in names:
                points[name] = points["step"] * np.repeat(costs, self.counts)
        return {name: values for name, values in points.items() if names is None or name in names}


def _line_of(record: Record) -> Labels:
    """The labels that the runs of a line and their timing share."""
    return msgspec.structs.replace(record.labels, seed=None)


def _step_ms(timing: Record) -> float | None:
    return next((m.value for m in timing.metrics if m.metric == "step_time"), None)


def _costs(record: Record, step_s: float) -> dict[str, list[float]]:
    """What a step of training takes; NaN where the configuration does not say."""
    train = record.config.get("train")
    settings = train if isinstance(train, dict) else {}
    num_examples = settings.get("batch_size", math.nan) * settings.get("accumulate", 1)
    return {
        "decoder_evaluations": [record.labels.num_samples * num_examples],
        "seconds": [step_s],
    }
