"""Records as long rows, for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vaebench.core.errors import InputError
from vaebench.results.folder import records, timings
from vaebench.results.reading import LARGEST
from vaebench.results.record import Metric, Record, Training

TRAINING = ("steps", "num_steps", "kept_step")
"""Columns that say how far a run was trained, and after which step its weights were kept."""

if TYPE_CHECKING:
    import pandas as pd


def load(out: str | Path) -> pd.DataFrame:
    """The rows of a results folder: one per run and metric, raw values, NaN where there is none.

    A run that diverged or failed has one row without a metric, with its status and reason.
    Raises InputError where there are no results.
    """
    folder = Path(out)
    found = [*records(folder), *timings(folder)]
    if not found:
        raise InputError(
            f"{folder} must hold results (runs/*.json); it has none: run a study first"
        )
    return frame(found)


def frame(found: Iterable[Record]) -> pd.DataFrame:
    """The rows of records: one for each metric, or one without where there is none."""
    import pandas as pd

    numbers = dict.fromkeys(("value", "low", "high", "reference"), float)
    rows = [row for record in found for row in _rows(record)]
    counts = dict.fromkeys(("seed", *TRAINING), "Int64")
    return pd.DataFrame(rows).astype({**counts, **numbers})


def curves(out: str | Path) -> pd.DataFrame:
    """The learning curves of a results folder: one row per run and logged step."""
    import pandas as pd

    training = dict.fromkeys(TRAINING, "Int64")
    frames = [
        pd.DataFrame(r.curves).assign(run=r.run, **_training(r), **msgspec.structs.asdict(r.labels))
        for r in records(Path(out))
        if r.curves
    ]
    return pd.concat(frames, ignore_index=True).astype(training) if frames else pd.DataFrame()


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
