"""A table as a data set: each row an example, each chosen column a number of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError, first_line, near_match

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, columns: Sequence[str]) -> NDArray[Any]:
    """The chosen columns of a file, or all: [N, P]. Raises InputError for what is no number."""
    try:
        table = FORMATS[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # whatever a parser says of a file that is none of its own
        raise InputError(
            f"{path} must be a table with a row of names; reading it: {first_line(error)}"
        ) from error
    for name in columns:
        if name not in table.columns:
            raise InputError(f"{path} has no column {name!r}; {near_match(name, table.columns)}")
    chosen = table[list(columns)] if columns else table
    for name in chosen.columns:
        _check_numbers(path, name, chosen[name])
    return np.ascontiguousarray(chosen.to_numpy())


def _check_numbers(path: Path, name: str, column: pd.Series[Any]) -> None:
    if column.dtype.kind not in "biuf":
        texts = (value for value in column if not isinstance(value, (int, float)))
        raise InputError(
            f"{path}: column {name!r} must be numbers; got {next(texts, column.dtype)!r}: leave it "
            f"out, as in data.columns = ['a', 'b']"
        )
    if bool(column.isna().any()):
        raise InputError(
            f"{path}: column {name!r} must have a number in each row; row "
            f"{int(column.isna().to_numpy().argmax()) + 1} has none: fill it in or leave it out"
        )


def _csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path)


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: Parquet needs {error.name}: install the extra, .[export], or store a .csv"
        ) from error
    return pd.read_parquet(path, engine="pyarrow")


FORMATS: Mapping[str, Callable[[Path], pd.DataFrame]] = {".csv": _csv, ".parquet": _parquet}
"""How tables are read, by the end of the file's name."""
