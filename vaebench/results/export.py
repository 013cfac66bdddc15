"""Rows of a folder as one file for other programs: Parquet or CSV."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.core.errors import InputError
from vaebench.results.files import write_atomically
from vaebench.results.rows import load

if TYPE_CHECKING:
    import pandas as pd


def export(out: Path, path: Path) -> int:
    """Write all rows of a folder, long and raw, to a file; how many there are.

    Hyperparameters and settings are columns of their own, with types in Parquet. Raises InputError
    for a name that ends otherwise, and where Parquet needs a package that is not there.
    """
    encode = FORMATS.get(path.suffix.lower())
    if encode is None:
        raise InputError(
            f"a file of rows must end in {' or '.join(FORMATS)}; got {str(path)!r}: name it so"
        )
    if not path.resolve().parent.is_dir():
        raise InputError(f"{path} must be in a folder that is there: make {path.parent} first")
    rows = load(out)
    write_atomically(path, encode(rows))
    return len(rows)


def _parquet(rows: pd.DataFrame) -> bytes:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise InputError(
            f"Parquet needs {error.name}: install the extra, .[export], or name a .csv"
        ) from error
    # whether higher is better: true, false or neither, which pandas has no plain column for
    table = pa.Table.from_pandas(rows.astype({"higher_is_better": "boolean"}), preserve_index=False)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _csv(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {".parquet": _parquet, ".csv": _csv}
"""How rows are written, by the end of the file's name."""
