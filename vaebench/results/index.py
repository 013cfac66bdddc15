"""The index of a large folder: what its records say, in one file that is quick to read.

The files of the runs are the truth. An entry is used only where the file has the size, the times
and the inode that it had when it was read, and where the entry's own checksum holds; else the file
is read, and the index mended. So it may be lost, damaged, locked or out of date, and may be written
by several at once: that costs time, never a wrong figure. Small folders have none.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from vaebench import __version__
from vaebench.core.errors import InputError
from vaebench.results.reading import read_record, without_curves
from vaebench.results.record import Record

NAME = "index.sqlite"
FEWEST = 1000
"""Records below which their files are read as fast."""
SETTLED_NS = 2 * 10**9
"""A file that was changed so shortly ago could change again without another time of change."""
PATIENCE_S = 5.0
"""How long another writer of the index is waited for, until the files are read instead."""
VERSION = zlib.crc32(f"1 {__version__}".encode()) & 0x7FFFFFFF
"""The version of the index's format, and of the checks that its records have passed."""
TABLE = "CREATE TABLE runs (name TEXT PRIMARY KEY, stamp TEXT, record BLOB, curves BLOB)"

Entry = Record | InputError
RECORD = msgspec.msgpack.Decoder(Record)
CURVES = msgspec.msgpack.Decoder(dict[str, list[float | None]])


Stamps = Mapping[str, str]
"""By the names of files of runs, what changes when they do."""


def files(out: Path) -> Stamps:
    """Every file of a folder's runs, once the index of a large folder says what they do."""
    stamps = _stamps(out / "runs")
    if len(stamps) >= FEWEST:
        with _trying(out), contextlib.closing(_opened(out / NAME)) as index:
            _update(index, out / "runs", stamps)
    return stamps


def entries(out: Path, stamps: Stamps, curves: bool) -> Iterator[Entry]:
    """These files of a folder's runs, in order of names: its record, or why it has none.

    Without `curves` the records have none.
    """
    with contextlib.closing(_indexed(out, stamps, curves)) as indexed:
        name, record = next(indexed, ("", None))
        for file in sorted(stamps):
            if record is not None and file == name:
                yield record
                name, record = next(indexed, ("", None))
            else:
                yield _read(out / "runs" / file, curves)


def _read(path: Path, curves: bool) -> Entry:
    try:
        record = read_record(path)
    except InputError as error:
        return error
    return record if curves else without_curves(record)


def _stamps(runs: Path) -> dict[str, str]:
    """By the names of the files in a folder, what changes when they do."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(runs) as files:
        return {
            file.name: _stamp(file)
            for file in files
            if file.name.endswith(".json") and not file.name.startswith(".")
        }
    return {}


def _stamp(file: os.DirEntry[str] | Path) -> str:
    """Size, times and inode of a file; "" for one that has just been changed, or is none."""
    try:
        now = file.stat()
    except OSError:
        return ""
    changed = max(now.st_mtime_ns, now.st_ctime_ns)
    if not stat.S_ISREG(now.st_mode) or abs(time.time_ns() - changed) < SETTLED_NS:
        return ""
    return f"{now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino}"


def _indexed(out: Path, stamps: Stamps, curves: bool) -> Generator[tuple[str, Record]]:
    """The records that the index has of these files, in order of names; fewer where it fails."""
    if len(stamps) < FEWEST:
        return
    with _trying(out), contextlib.closing(_opened(out / NAME)) as index:
        columns = f"name, stamp, record, {'curves' if curves else 'NULL'}"
        select = f"SELECT {columns} FROM runs WHERE name BETWEEN ? AND ? ORDER BY name"
        for name, stamp, record, points in index.execute(select, (min(stamps), max(stamps))):
            if stamp and stamps.get(name) == stamp:
                yield name, _decoded(name + stamp, record, points)


@contextlib.contextmanager
def _trying(out: Path) -> Iterator[None]:
    """Do without an index that fails; one that is damaged is removed."""
    try:
        yield
    except sqlite3.OperationalError:
        pass  # locked, or where nothing can be written: the files can be read
    except (sqlite3.Error, msgspec.MsgspecError):
        with contextlib.suppress(OSError):
            (out / NAME).unlink()


def _opened(path: Path) -> sqlite3.Connection:
    """The index, empty where it was of another version."""
    index = sqlite3.connect(path, timeout=PATIENCE_S)
    (version,) = index.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        with index:
            index.execute("DROP TABLE IF EXISTS runs")
            index.execute(TABLE)
            index.execute(f"PRAGMA user_version = {VERSION}")
    index.execute("PRAGMA synchronous = OFF")  # what a crash spoils is seen by the checksums
    return index


def _update(index: sqlite3.Connection, runs: Path, stamps: Stamps) -> None:
    """Take out the entries of files that have changed or gone, and put in those that lack."""
    known = dict(index.execute("SELECT name, stamp FROM runs"))
    old = [name for name, stamp in known.items() if stamps.get(name) != stamp]
    new = sorted(name for name, stamp in stamps.items() if stamp and known.get(name) != stamp)
    with contextlib.suppress(sqlite3.OperationalError), index:
        index.executemany("DELETE FROM runs WHERE name = ?", ((name,) for name in old))
        rows = _rows(runs, new, stamps)
        index.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", rows)


def _rows(
    runs: Path, names: Iterable[str], stamps: Stamps
) -> Iterator[tuple[str, str, bytes, bytes]]:
    """The rows of the files that are records, and that did not change while they were read."""
    for name in names:
        record, stamp = _read(runs / name, curves=True), stamps[name]
        if isinstance(record, Record) and _stamp(runs / name) == stamp:
            key = name + stamp
            yield name, stamp, _sealed(key, without_curves(record)), _sealed(key, record.curves)


def _sealed(key: str, content: object) -> bytes:
    encoded = msgspec.msgpack.encode(content)
    return _checksum(key, encoded) + encoded


def _decoded(key: str, record: bytes, curves: bytes | None) -> Record:
    """Raises sqlite3.DatabaseError where an entry is not as it was written."""
    decoded = RECORD.decode(_unsealed(key, record))
    if curves is None:
        return decoded
    return msgspec.structs.replace(decoded, curves=CURVES.decode(_unsealed(key, curves)))


def _unsealed(key: str, sealed: bytes) -> bytes:
    checksum, encoded = sealed[:4], sealed[4:]
    if checksum != _checksum(key, encoded):
        raise sqlite3.DatabaseError("an entry of the index is damaged")
    return encoded


def _checksum(key: str, encoded: bytes) -> bytes:
    return zlib.crc32(encoded, zlib.crc32(key.encode())).to_bytes(4, "big")
