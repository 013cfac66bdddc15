"""What other commands leave in a results folder, for a report to show."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vaebench.core.errors import InputWarning

if TYPE_CHECKING:
    import pandas as pd

KERNELS = "kernels-*.json"
"""What `vaebench kernels --out` writes, for each device."""
BENCHMARKS = "benchmarks.json"
"""What pytest-benchmark writes."""
GRADIENTS = "gradients.json"
"""What `vaebench gradients` writes."""
TRIALS, FRONT = "trials.csv", "pareto.csv"
"""What a sweep writes: all trials, and those that no other of their variant beats."""


def rows_beside(out: Path, pattern: str) -> list[dict[str, Any]]:
    """The rows of the files of that name, as `write_rows` writes them; none where there is none.

    A file that cannot be read is left out, with an InputWarning that names it.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob(pattern)):
        try:
            rows += msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _left_out(path, error)
    return rows


def benchmarks(out: Path) -> list[dict[str, Any]]:
    """What pytest-benchmark measured; as `rows_beside`."""
    path = out / BENCHMARKS
    if not path.is_file():
        return []
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        return [dict(one) for one in content["benchmarks"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        _left_out(path, error)
        return []


def trials(out: Path, name: str = TRIALS) -> pd.DataFrame:
    """The trials of a sweep, a line each; no lines where there was none."""
    import pandas as pd

    path = out / name
    if not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:  # ValueError: what pandas cannot parse
        _left_out(path, error)
        return pd.DataFrame()


def _left_out(path: Path, error: Exception) -> None:
    what = f"left out: {path} cannot be read ({error})"
    warnings.warn(what, InputWarning, stacklevel=4)
