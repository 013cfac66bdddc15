"""Reading and writing the files of a results folder, whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vaebench.errors import InputError
from vaebench.results.record import Metric, Record, Status

ABANDONED_AFTER_S = 3600.0
"""A temporary file this old belongs to no writer that still runs."""


def prepare(out: Path) -> None:
    """Make the folders, and clear what an interrupted writer left. Raises InputError."""
    try:
        for folder in ("runs", "samples", "weights", "examples"):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for orphan in (out / folder).glob(".*.tmp"):
                if time.time() - orphan.stat().st_mtime > ABANDONED_AFTER_S:
                    orphan.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"the output folder must be writable; {out}: {error.strerror}: choose another --out"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """All of the content or nothing: a temporary file beside it, fsync, rename."""
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=".", suffix=".tmp", delete=False
    ) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)  # temporary files are for their owner alone
    os.replace(file.name, path)


def write(out: Path, record: Record) -> None:
    """Record one run."""
    write_atomically(out / "runs" / f"{record.run}.json", _encode(record))


def write_examples(out: Path, run: str, values: Mapping[str, NDArray[Any]]) -> None:
    """Keep what figures of a run are means of, one array for each, compressed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **values)
    write_atomically(out / "examples" / f"{run}.npz", buffer.getvalue())


def examples(out: str | Path, run: str) -> dict[str, NDArray[Any]]:
    """What figures of a run are means of, by metric: a value for each example.

    Under "METRIC by dimension", or another axis, where it is not examples. Nothing where there is
    no such file. Raises InputError where it is damaged.
    """
    path = Path(out) / "examples" / f"{run}.npz"
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} must be an .npz of plain arrays ({error}): delete it; variants are then "
            f"compared by seeds alone, until --keep grades the run again"
        ) from error


def add(
    out: Path, record: Record, metrics: Sequence[Metric], values: Mapping[str, NDArray[Any]]
) -> None:
    """Add figures to a record, in the place of those of the same name, and what they are means of.

    The record comes last: until then it says what it said.
    """
    new = {m.metric for m in metrics}
    kept = [m for m in record.metrics if m.metric not in new]
    write_examples(out, record.run, examples(out, record.run) | dict(values))
    write(out, msgspec.structs.replace(record, metrics=[*kept, *metrics]))


def write_timings(out: Path, records: list[Record]) -> None:
    """Record a timing pass, in the place of the one before."""
    write_atomically(out / "timings.json", _encode(records))


def write_rows(out: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write plain rows as OUT/NAME.json; the path. Raises InputError where that cannot be."""
    path = out / f"{name}.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _encode(rows))
    except OSError as error:
        raise InputError(f"{out} must be a writable folder: {error.strerror}") from error
    return path


def recorded(out: Path) -> dict[str, Status]:
    """The runs that are there, by id, with how they ended."""
    return {record.run: record.status for record in records(out)}


def records(out: Path) -> Iterator[Record]:
    """Every run's record. Raises InputError for a file that is not one."""
    for path in sorted((out / "runs").glob("*.json")):
        yield _decode(path, Record)


def timings(out: Path) -> list[Record]:
    """The records of the last timing pass."""
    path = out / "timings.json"
    return list(_decode(path, list[Record])) if path.exists() else []


def _encode(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=1)


def _decode(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{path} must be a record of this version ({error}): move it away and run again"
        ) from error
