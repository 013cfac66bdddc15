"""Records as long rows, for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vaebench.errors import InputError
from vaebench.results.folder import records, timings
from vaebench.results.record import Metric, Record

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
    return pd.DataFrame(rows).astype({"seed": "Int64", **numbers})


def curves(out: str | Path) -> pd.DataFrame:
    """The learning curves of a results folder: one row per run and logged step."""
    import pandas as pd

    frames = [
        pd.DataFrame(r.curves).assign(run=r.run, **msgspec.structs.asdict(r.labels))
        for r in records(Path(out))
        if r.curves
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    common = {
        "run": record.run,
        "study": record.study,
        **msgspec.structs.asdict(record.labels),
        "status": record.status,
        "reason": record.reason,
        "environment": ", ".join(f"{k} {v}" for k, v in record.environment.items()),
    }
    for m in record.metrics or [Metric("", None, "", None)]:
        yield {**common, **msgspec.structs.asdict(m)}
