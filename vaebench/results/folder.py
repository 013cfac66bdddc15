"""Reading and writing the files of a results folder, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vaebench.core import arguments
from vaebench.core.errors import InputError, InputWarning
from vaebench.results.files import PARTS, clear, storing, writable, write_atomically
from vaebench.results.index import Entry, Stamps, entries, files
from vaebench.results.lock import changing
from vaebench.results.reading import ID, NewerRecordError, read_record, read_timings
from vaebench.results.record import Metric, Record, Status

SUFFIXES = dict(zip(PARTS, (".json", ".png", ".npz", ".pt", ".npz"), strict=True))


def prepare(out: Path) -> None:
    """Make the folders, and clear what an interrupted writer left. Raises InputError."""
    writable(out)
    with storing(out):
        for part in PARTS:
            (out / part).mkdir(exist_ok=True)
            clear(out / part, ".")


def file_of(out: Path, part: str, run: str) -> Path:
    """Where a results folder keeps a part of a run. Raises InputError for what is no run's id."""
    if not (isinstance(run, str) and ID.fullmatch(run)):
        raise InputError(f"a run's id is 16 hex digits; got {run!r}")
    return out / part / f"{run}{SUFFIXES[part]}"


def write(out: Path, record: Record) -> None:
    """Record one run. What is recorded as done is not lost to a later failure.

    Raises StorageError.
    """
    path = file_of(out, "runs", record.run)
    with changing(out):
        if record.status == "done" or status(out, record.run) != "done":
            _replace(path, record)


def write_part(out: Path, part: str, run: str, content: bytes) -> None:
    """Keep a file that lies beside a run's record: see PARTS."""
    write_atomically(file_of(out, part, run), content)


def digest(content: bytes) -> str:
    """The digest of a file of weights, by which the run's record knows it."""
    return hashlib.sha256(content).hexdigest()


def read_weights(out: Path, record: Record) -> bytes:
    """The file of a run's parameters. Raises InputError where it is not there, or another one."""
    path = file_of(out, "weights", record.run)
    again = "delete the run's record and run it again"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} must hold the run's weights; {error.strerror}: {again}"
        ) from error
    if record.weights not in ("", digest(content)):
        raise InputError(
            f"{path} must hold the weights that the run was graded with, by the digest in its "
            f"record; it is damaged, or another run's: {again}"
        )
    return content


def write_examples(out: Path, run: str, values: Mapping[str, NDArray[Any]]) -> None:
    """Keep what figures of a run are means of, one array for each, compressed."""
    write_part(out, "examples", run, pack_examples(values))


def pack_examples(values: Mapping[str, NDArray[Any]]) -> bytes:
    """The file of what figures of a run are means of."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **values)
    return buffer.getvalue()


def kept(out: Path, part: str) -> frozenset[str]:
    """The runs, by their ids, that have a part beside their record."""
    try:
        return frozenset(name.partition(".")[0] for name in os.listdir(out / part))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def examples(out: str | Path, run: str) -> dict[str, NDArray[Any]]:
    """What figures of a run are means of, by metric: a value for each example.

    Under "METRIC by dimension", or another axis, where it is not examples. Nothing where there is
    no such file. Raises InputError where it is damaged.
    """
    path = file_of(arguments.path("a results folder", out), "examples", run)
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} must be an .npz of plain arrays ({error}): delete it; variants are then "
            f"compared by seeds alone, until `vaebench evaluate FOLDER --keep` grades the run again"
        ) from error


def samples(out: Path, run: str) -> bytes | None:
    """The file of the images drawn from a run; None where there is none."""
    path = file_of(out, "samples", run)
    with storing(out):
        return path.read_bytes() if path.is_file() else None


def add(
    out: Path, record: Record, metrics: Sequence[Metric], values: Mapping[str, NDArray[Any]]
) -> None:
    """Add figures to a record, in the place of those of the same name, and what they are means of.

    The record is read again, so that figures which another has added meanwhile stay; it is written
    last: until then it says what it said. Raises InputError where the run is no longer the one
    that was graded.
    """
    path = file_of(out, "runs", record.run)
    with changing(out):
        current = read_record(path)
        if (current.status, current.weights) != ("done", record.weights):
            raise InputError(f"{path} changed while the run was graded: evaluate it again")
        write_examples(out, record.run, examples(out, record.run) | dict(values))
        new = {m.metric for m in metrics}
        kept = [m for m in current.metrics if m.metric not in new]
        _replace(path, msgspec.structs.replace(current, metrics=[*kept, *metrics]))


def write_timings(out: Path, records: list[Record]) -> None:
    """Record a timing pass, in the place of the one before."""
    _replace(out / "timings.json", records)


def write_rows(out: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write plain rows as OUT/NAME.json; the path. Raises InputError where that cannot be."""
    writable(out)
    path = out / f"{name}.json"
    write_atomically(path, encoded(rows))
    return path


def recorded(out: Path) -> dict[str, Status]:
    """The runs that are there, by id, with how they ended.

    Raises InputError where a later version has recorded some: it knows how they ended.
    """
    every = entries(out, files(out), curves=False)
    return {r.run: r.status for r in _readable(every, strict=True)}


def read(out: Path, run: str) -> Record:
    """The record of a run. Raises InputError where it has none, or one that cannot be read."""
    return read_record(file_of(out, "runs", run))


def remove(out: Path, part: str, run: str) -> None:
    """Remove a part of a run, where it is there. Raises StorageError."""
    with storing(out):
        file_of(out, part, run).unlink(missing_ok=True)


def status(out: Path, run: str) -> Status | None:
    """How a run ended; None where it has no record, or one that cannot be read.

    Raises InputError for a record of a later version.
    """
    try:
        return read_record(file_of(out, "runs", run)).status
    except NewerRecordError:
        raise
    except InputError:
        return None


def records(out: Path, *, curves: bool = True, of: Stamps | None = None) -> Iterator[Record]:
    """Every run's record, in the order of their ids; without `curves`, faster, they have none.

    `of`: some of `index.files`, instead of all. A file that is no record is left out, with an
    InputWarning that names it.
    """
    yield from _readable(entries(out, files(out) if of is None else of, curves))


def _readable(every: Iterable[Entry], strict: bool = False) -> Iterator[Record]:
    """The records alone; a warning for each file that is none."""
    for entry in every:
        if isinstance(entry, Record):
            yield entry
        elif strict and isinstance(entry, NewerRecordError):
            raise entry
        else:
            _left_out(entry)


def timings(out: Path) -> list[Record]:
    """The records of the last timing pass; none, with an InputWarning, where they are damaged."""
    path = out / "timings.json"
    try:
        return read_timings(path) if os.path.lexists(path) else []
    except InputError as error:
        _left_out(error)
        return []


def _left_out(error: InputError) -> None:
    warnings.warn(f"left out: {error}", InputWarning, stacklevel=4)


def _replace(path: Path, content: Record | list[Record]) -> None:
    """Write a record; what cannot be read in its place is put aside, not lost."""
    read = read_record if isinstance(content, Record) else read_timings
    if os.path.lexists(path):
        try:
            read(path)
        except NewerRecordError:
            raise
        except InputError:
            with storing(path.parent):
                path.replace(path.with_name(f"{path.name}.broken"))
    write_atomically(path, encoded(content))


def encoded(content: Any) -> bytes:
    """Records, or other plain data, as JSON that people can read, the same for the same content."""
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=1)
