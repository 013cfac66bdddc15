"""Files that are written whole or not at all, and what a folder must be for that."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaebench.core.errors import InputError, StorageError

ABANDONED_AFTER_S = 3600.0
"""A temporary file this old, or of a date this far ahead, belongs to no writer that still runs."""
PARTS = ("runs", "samples", "weights", "examples")
"""The folders of a results folder."""
FULL = "make room there, and give the same command again"
LIMIT = "raise the limit, see `ulimit -n`"
ADVICE = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL, errno.EMFILE: LIMIT}
PREFIX = ".vaebench-"
"""How a temporary file's name begins: an output folder may hold files of other programs."""


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turn what the system refuses within into a StorageError that names the folder."""
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "choose another --out")
        raise StorageError(
            f"the output folder must be writable; {folder}: {error.strerror or error}: {advice}"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write all of the content or nothing: a temporary file beside it, fsync, rename.

    Raises StorageError.
    """
    with storing(path.parent):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=PREFIX, suffix=".tmp")
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.chmod(name, 0o644)  # temporary files are for their owner alone
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def writable(out: Path) -> None:
    """Make a folder and see that it takes files, before the work is done. Raises InputError."""
    folder = out.resolve()
    if folder.name in PARTS and (folder.parent / "weights").is_dir():
        raise InputError(
            f"{out} is where the results folder {folder.parent} keeps its {folder.name}, and no "
            f"place for other files: choose another --out"
        )
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        clear(out)
        with tempfile.NamedTemporaryFile(
            dir=out, prefix=PREFIX, suffix=".tmp", buffering=0
        ) as file:
            file.write(bytes(1 << 12))  # a full disk has room for a file of no bytes


def clear(folder: Path, prefix: str = PREFIX) -> None:
    """Remove what interrupted writers left."""
    for orphan in folder.glob(f"{prefix}*.tmp"):
        try:
            if abs(time.time() - orphan.stat().st_mtime) > ABANDONED_AFTER_S:
                orphan.unlink()
        except FileNotFoundError:
            continue  # its writer has just put it in its place


def check_room(out: Path, num_bytes: int) -> None:
    """Raises StorageError where the disk has not as many bytes left."""
    with storing(out):
        left = shutil.disk_usage(out).free
    if left < num_bytes:
        raise StorageError(
            f"the disk of {out} must have room for about {num_bytes / 2**20:.1f} MiB of results; "
            f"it has {left / 2**20:.1f} MiB: make room there, or choose another --out"
        )
