"""Records as long rows, for pandas."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vaebench.core.arguments import items, path
from vaebench.core.errors import InputError
from vaebench.results.columns import Numbers, Pooled, Texts, text_columns
from vaebench.results.folder import records, timings
from vaebench.results.reading import LARGEST, training_of
from vaebench.results.record import Labels, Metric, Record

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

TRAINING = ("steps", "num_steps", "kept_step")
"""Columns that say how far a run was trained, and after which step its weights were kept."""
CONFIGURED = (
    *("objective", "likelihood", "posterior", "prior"),
    *("rate_weight", "model", "train", "evaluate"),
)
"""The parts of a run's configuration whose values are columns of the rows."""
TEXTS = ("metric", "unit", "higher_is_better", "protocol", "fingerprint", "trust")
NUMBERS = ("value", "low", "high", "reference")
"""The fields of a figure: those that many figures share, and those of each."""
TEXTS_OF, NUMBERS_OF = attrgetter(*TEXTS), attrgetter(*NUMBERS)
*LABELS, SEED = Labels.__struct_fields__
COMMON = ("study", *LABELS, "status", "reason", *TRAINING, "environment")
ORDER = ("run", "study", *LABELS, SEED, "status", "reason", *TRAINING, "environment")
"""The columns of every row beside its figure: those that runs share, and all."""
NONE = Metric("", None, "", None)
"""The figure of a row of a run that has none."""


def load(out: str | Path, metrics: Collection[str] | None = None) -> pd.DataFrame:
    """Read a results folder: one row per run and metric, raw values, NaN where there is none.

    With `metrics`, of these alone. A run without any of them has one row without a metric, with its
    status and reason, as one has that diverged or failed. The rows of a timing pass have the
    configuration of the first run of their variant. Raises InputError where there are no results.
    """
    folder = path("a results folder", out)
    names = None if metrics is None else set(items("metrics", metrics, str, "['nll', 'elbo']"))
    rows = Rows(names)
    for record in records(folder, curves=False):
        rows.add(record)
    return with_timings(folder, rows).table()


def with_timings(folder: Path, rows: Rows) -> Rows:
    """Add those of a folder's timing pass to the rows of its records. Raises InputError where there
    is no row at all."""
    timed = timings(folder)
    configs = rows.runs.configs({_first(timing) for timing in timed})
    for timing in timed:
        rows.add(msgspec.structs.replace(timing, config=configs.get(_first(timing), {})))
    if not rows.runs.runs:
        raise InputError(
            f"{folder} must hold results (runs/*.json); it has none: run a study first"
        )
    return rows


def frame(runs: Iterable[Record], metrics: Collection[str] | None = None) -> pd.DataFrame:
    """Make rows of records: one for each metric, or one without where there is none.

    Their columns beyond those of every row are the values of `configuration`.
    """
    rows = Rows(metrics)
    for record in runs:
        rows.add(record)
    return rows.table()


class Rows:
    """The rows of records, see `frame`, gathered record by record."""

    def __init__(self, metrics: Collection[str] | None = None) -> None:
        self.metrics, self.runs, self.counts = metrics, Runs(), array("q")
        self.texts, self.numbers = Pooled(), Numbers(NUMBERS)

    def add(self, record: Record) -> None:
        """The rows of one more run."""
        wanted = self.metrics
        shown = [m for m in record.metrics if wanted is None or m.metric in wanted] or [NONE]
        self.runs.add(record)
        self.counts.append(len(shown))
        self.texts.add_all(tuple(map(TEXTS_OF, shown)))
        columns = zip(NUMBERS, zip(*map(NUMBERS_OF, shown), strict=True), strict=True)
        self.numbers.add({n: v for n, v in columns if v.count(None) < len(v)}, len(shown))

    def extend(self, others: Rows) -> None:
        """The rows of more records, after these."""
        self.runs.extend(others.runs)
        self.counts.extend(others.counts)
        self.texts.extend(others.texts)
        self.numbers.extend(others.numbers)

    def table(
        self,
        texts: Texts = text_columns,
        chosen: NDArray[np.bool_] | None = None,
        columns: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """The table of all rows, or of those chosen, with all columns or these.

        A large folder has millions of rows, whose columns of settings take a gigabyte.
        """
        import numpy as np
        import pandas as pd

        counts: NDArray[Any] = np.asarray(self.counts)
        rows: NDArray[Any] | slice = slice(None)
        if chosen is not None:
            counts = np.diff(np.append(0, np.cumsum(chosen))[self._limits()])
            rows = np.flatnonzero(chosen)
        common, configured = self.runs.columns(counts, texts, columns)
        wanted = [n for n in Metric.__struct_fields__ if columns is None or n in columns]
        kinds = texts(self.texts.lines, TEXTS).astype({"higher_is_better": object})
        kinds = kinds[[name for name in TEXTS if name in wanted]]
        numbers = {n: v[rows] for n, v in self.numbers.columns().items() if n in wanted}
        figures = self.texts.columns(kinds, rows) | numbers
        ordered = {name: figures[name] for name in wanted}
        return pd.DataFrame(common | ordered | configured, copy=False)

    def of_metrics(self, names: Collection[str]) -> NDArray[np.bool_]:
        """Which rows are of these metrics: [rows]."""
        import numpy as np

        wanted = [line[TEXTS.index("metric")] in names for line in self.texts.lines]
        return np.asarray(wanted, bool)[np.asarray(self.texts.codes)]

    def of_runs(self) -> NDArray[np.bool_]:
        """Which rows are the first of a run: [rows]. A timing pass has none."""
        import numpy as np

        is_run = [seed is not None for seed in self.runs.seeds]
        firsts = np.zeros(len(self.texts.codes), bool)
        firsts[self._limits()[:-1]] = is_run
        return firsts

    def _limits(self) -> NDArray[np.int64]:
        """The first row of each run, and the end of the last: [runs + 1]."""
        import numpy as np

        return np.append(0, np.cumsum(np.asarray(self.counts)))


class Runs:
    """The columns that say of rows which run they are of, and what it was configured with."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.seeds: list[int | None] = []
        self.common, self.configured = Pooled(), Pooled()

    def add(self, record: Record) -> None:
        """One more run."""
        self.runs.append(record.run)
        self.seeds.append(record.labels.seed)
        line = _common(record)
        self.common.add(line, line)
        config = {name: record.config[name] for name in CONFIGURED if name in record.config}
        key = msgspec.msgpack.encode(config, order="deterministic")
        self.configured.add(key, config)

    def extend(self, others: Runs) -> None:
        """More runs, after these."""
        self.runs += others.runs
        self.seeds += others.seeds
        self.common.extend(others.common)
        self.configured.extend(others.configured)

    def configs(self, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
        """The CONFIGURED parts of the configurations of those wanted that are there, by run."""
        lines = zip(self.runs, self.configured.codes, strict=True)
        return {run: self.configured.lines[code] for run, code in lines if run in wanted}

    def columns(
        self,
        counts: Sequence[int] | NDArray[Any],
        texts: Texts,
        wanted: Collection[str] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The columns of every table, and those of the configuration; with `wanted`, only these.

        `counts`: how many rows each run has; 0 for the last ones where there are fewer counts.
        """
        import numpy as np
        import pandas as pd

        num_rows = np.pad(np.asarray(counts, int), (0, len(self.runs) - len(counts)))
        lines = texts(self.common.lines, COMMON).astype(dict.fromkeys(TRAINING, "Int64"))
        configured = texts(map(configuration, self.configured.lines))
        if wanted is not None:
            lines = lines[[name for name in lines if name in wanted]]
            configured = configured[[name for name in configured if name in wanted]]
        each = np.repeat(np.arange(len(self.runs)), num_rows)
        columns = self.common.columns(lines, each)
        columns["run"] = texts({"run": self.runs})["run"].array.take(each)
        columns["seed"] = pd.array(self.seeds, dtype="Int64").take(each)
        ordered = {name: columns[name] for name in ORDER if name in columns}
        return ordered, self.configured.columns(configured, each)


def _common(record: Record) -> tuple[Any, ...]:
    """What rows say of a run, in the order of COMMON; many runs say the same."""
    labels = msgspec.structs.astuple(record.labels)
    training = training_of(record)
    steps = msgspec.structs.astuple(training) if training else (None,) * len(TRAINING)
    environment = ", ".join(f"{k} {v}" for k, v in record.environment.items())
    return (record.study, *labels[:-1], record.status, record.reason, *steps, environment)


def configuration(config: Mapping[str, Any]) -> dict[str, float | str]:
    """A run's settings by the names of their columns, numbers as floats and words as text.

    "objective.beta" and "prior.beta" are two columns, as each begins with its kind. A schedule is
    "objective.beta.name" with its own parameters, "objective.beta.over", and has no
    "objective.beta". A setting that is None, true or false, or a list of tables has no column.
    """
    parts = [_flat(part, config[part]) for part in CONFIGURED if part in config]
    return {name: value for part in parts for name, value in part}


def _flat(place: str, value: Any) -> Iterator[tuple[str, float | str]]:
    """The numbers and words within a value of a configuration, each with its place."""
    match value:
        case bool():
            return
        case float() | str():
            yield place, value
        case int() if abs(value) <= LARGEST:
            yield place, float(value)
        case list() if not any(isinstance(one, list | dict) for one in value):
            yield place, ",".join(map(str, value))
        case {"name": str(name), "hyper": dict(hyper)}:
            yield f"{place}.name", name
            yield from _flat(place, hyper)
        case dict():
            for name, inner in value.items():
                yield from _flat(f"{place}.{name}", inner)


def _first(timing: Record) -> str:
    """The first run that a record of a timing pass stands for; "" where it names none."""
    return next(iter(timing.config["runs"]), "")
