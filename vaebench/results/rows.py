"""Records as long rows, for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vaebench.core.errors import InputError
from vaebench.results.folder import records, timings
from vaebench.results.reading import LARGEST
from vaebench.results.record import Metric, Record, Training

if TYPE_CHECKING:
    import pandas as pd

TRAINING = ("steps", "num_steps", "kept_step")
"""Columns that say how far a run was trained, and after which step its weights were kept."""
CONFIGURED = (
    *("objective", "likelihood", "posterior", "prior"),
    *("rate_weight", "model", "train", "evaluate"),
)
"""The parts of a run's configuration whose values are columns of the rows."""


def load(out: str | Path) -> pd.DataFrame:
    """Read a results folder: one row per run and metric, raw values, NaN where there is none.

    A run that diverged or failed has one row without a metric, with its status and reason. The
    rows of a timing pass have the configuration of the first run of their variant. Raises
    InputError where there are no results.
    """
    folder = Path(out)
    runs = list(records(folder))
    timed = [_configured(record, runs) for record in timings(folder)]
    if not runs and not timed:
        raise InputError(
            f"{folder} must hold results (runs/*.json); it has none: run a study first"
        )
    return frame([*runs, *timed])


def frame(runs: Iterable[Record]) -> pd.DataFrame:
    """Make rows of records: one for each metric, or one without where there is none.

    Their columns beyond those of every row are the values of `configuration`.
    """
    import pandas as pd

    runs = list(runs)
    numbers = dict.fromkeys(("value", "low", "high", "reference"), float)
    counts = dict.fromkeys(("seed", *TRAINING), "Int64")
    rows = pd.DataFrame([row for record in runs for row in _rows(record)])
    return _with_configuration(rows.astype({**counts, **numbers}), runs)


def curves(out: str | Path) -> pd.DataFrame:
    """Read the learning curves of a results folder: one row per run and logged step."""
    import pandas as pd

    training = dict.fromkeys(TRAINING, "Int64")
    runs = [record for record in records(Path(out)) if record.curves]
    if not runs:
        return pd.DataFrame()
    parts = [
        pd.DataFrame(r.curves).assign(run=r.run, **_training(r), **msgspec.structs.asdict(r.labels))
        for r in runs
    ]
    return _with_configuration(pd.concat(parts, ignore_index=True).astype(training), runs)


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


def _with_configuration(rows: pd.DataFrame, runs: Iterable[Record]) -> pd.DataFrame:
    """The rows with the columns of their runs' configurations; a run without one has none."""
    import pandas as pd

    by_run = {record.run: configuration(record.config) for record in runs}
    return rows.join(pd.DataFrame(by_run.values(), index=list(by_run)), on="run")


def _configured(timing: Record, runs: Iterable[Record]) -> Record:
    """A record of a timing pass with the configuration of the first run that it stands for."""
    first = next(iter(timing.config["runs"]), None)
    config = next((record.config for record in runs if record.run == first), {})
    return msgspec.structs.replace(timing, config=config)


def _training(record: Record) -> dict[str, int | None]:
    """The columns TRAINING of a record. One of before has no such field: its curve says it."""
    training = record.training or _by_curve(record)
    values = msgspec.structs.astuple(training) if training else (None,) * len(TRAINING)
    return dict(zip(TRAINING, values, strict=True))


def _by_curve(record: Record) -> Training | None:
    """How a run of before ended: early where its curve lacks a point."""
    train = record.config.get("train")
    num_steps = train.get("num_steps") if isinstance(train, dict) else None
    points = [step for step in record.curves.get("step", ()) if step is not None]
    if record.status != "done" or num_steps is None or not points:
        return None
    if not all(1 <= step <= num_steps <= LARGEST for step in points):
        return None
    steps = int(points[-1]) if points[-1] + points[0] <= num_steps else num_steps
    return Training(steps, num_steps, kept=steps)


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    common = {
        "run": record.run,
        "study": record.study,
        **msgspec.structs.asdict(record.labels),
        "status": record.status,
        "reason": record.reason,
        **_training(record),
        "environment": ", ".join(f"{k} {v}" for k, v in record.environment.items()),
    }
    for m in record.metrics or [Metric("", None, "", None)]:
        yield {**common, **msgspec.structs.asdict(m)}
