"""Records as long rows, for pandas."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vaebench.core.errors import InputError
from vaebench.results.columns import Numbers, Pooled, text_columns
from vaebench.results.folder import records, timings
from vaebench.results.reading import LARGEST, training_of
from vaebench.results.record import Labels, Metric, Record

if TYPE_CHECKING:
    import pandas as pd

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
*LABELS, SEED = Labels.__struct_fields__
COMMON = ("study", *LABELS, "status", "reason", *TRAINING, "environment")
ORDER = ("run", "study", *LABELS, SEED, "status", "reason", *TRAINING, "environment")
"""The columns of every row beside its figure: those that runs share, and all."""
COSTS = frozenset({"decoder_evaluations", "seconds"})
"""Columns of the curves that are not recorded, but follow from steps."""
NONE = Metric("", None, "", None)
"""The figure of a row of a run that has none."""


def load(out: str | Path, metrics: Collection[str] | None = None) -> pd.DataFrame:
    """Read a results folder: one row per run and metric, raw values, NaN where there is none.

    With `metrics`, of these alone. A run without any of them has one row without a metric, with its
    status and reason, as one has that diverged or failed. The rows of a timing pass have the
    configuration of the first run of their variant. Raises InputError where there are no results.
    """
    folder = Path(out)
    timed = timings(folder)
    configs: dict[str, dict[str, Any]] = {_first(timing): {} for timing in timed}

    def every() -> Iterator[Record]:
        for record in records(folder, curves=False):
            if record.run in configs:
                configs[record.run] = record.config
            yield record
        for timing in timed:
            yield msgspec.structs.replace(timing, config=configs[_first(timing)])

    rows = frame(every(), metrics)
    if rows.empty:
        raise InputError(
            f"{folder} must hold results (runs/*.json); it has none: run a study first"
        )
    return rows


def frame(runs: Iterable[Record], metrics: Collection[str] | None = None) -> pd.DataFrame:
    """Make rows of records: one for each metric, or one without where there is none.

    Their columns beyond those of every row are the values of `configuration`.
    """
    import pandas as pd

    table, texts, numbers = _Runs(), Pooled(), Numbers(NUMBERS)
    texts_of, numbers_of = attrgetter(*TEXTS), attrgetter(*NUMBERS)
    for record in runs:
        shown = [m for m in record.metrics if metrics is None or m.metric in metrics] or [NONE]
        table.add(record, len(shown))
        for line in map(texts_of, shown):
            texts.add(line, line)
        values = zip(*map(numbers_of, shown), strict=True)
        numbers.add(dict(zip(NUMBERS, values, strict=True)), len(shown))
    common, configured = table.columns()
    kinds = text_columns(texts.lines, TEXTS).astype({"higher_is_better": object})
    figures = texts.columns(kinds) | numbers.columns()
    ordered = {field: figures[field] for field in Metric.__struct_fields__}
    return pd.DataFrame(common | ordered | configured, copy=False)


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
    import pandas as pd

    step_s = {_line_of(t): ms / 1e3 for t in timings(Path(out)) if (ms := _step_ms(t))}
    table, points = _Runs(), Numbers()
    for record in records(Path(out)):
        if record.curves:
            length = len(record.curves["step"])
            shown = {n: v for n, v in record.curves.items() if names is None or n in names}
            if names is None or not COSTS.isdisjoint(names):
                shown |= _costs(record, step_s.get(_line_of(record), math.nan))
            table.add(record, length)
            points.add(shown, length)
    if not points.length:
        return pd.DataFrame()
    common, configured = table.columns(columns)
    first = {name: common.pop(name) for name in ("run", *TRAINING) if name in common}
    for absent in ("study", "status", "reason", "environment"):
        common.pop(absent, None)
    return pd.DataFrame(points.columns() | first | common | configured, copy=False)


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


class _Runs:
    """The columns that say of rows which run they are of, and what it was configured with."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.seeds: list[int | None] = []
        self.counts = array("q")
        self.common, self.configured = Pooled(), Pooled()

    def add(self, record: Record, num_rows: int) -> None:
        """A run with so many rows."""
        self.runs.append(record.run)
        self.seeds.append(record.labels.seed)
        self.counts.append(num_rows)
        line = _common(record)
        self.common.add(line, line)
        config = {name: record.config[name] for name in CONFIGURED if name in record.config}
        key = msgspec.msgpack.encode(config, order="deterministic")
        self.configured.add(key, config)

    def columns(
        self, wanted: Collection[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The columns of every table, and those of the configuration; with `wanted`, only these."""
        import numpy as np
        import pandas as pd

        counts = np.asarray(self.counts)
        lines = text_columns(self.common.lines, COMMON).astype(dict.fromkeys(TRAINING, "Int64"))
        configured = text_columns(map(configuration, self.configured.lines))
        if wanted is not None:
            lines = lines[[name for name in lines if name in wanted]]
            configured = configured[[name for name in configured if name in wanted]]
        columns = self.common.columns(lines, counts)
        each = np.repeat(np.arange(len(self.runs)), counts)
        columns["run"] = text_columns({"run": self.runs})["run"].array.take(each)
        columns["seed"] = pd.array(self.seeds, dtype="Int64").take(each)
        ordered = {name: columns[name] for name in ORDER if name in columns}
        return ordered, self.configured.columns(configured, counts)


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
