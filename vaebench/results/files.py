"""Files that are written whole or not at all, and what a folder must be for that."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vaebench.core.errors import InputError, StorageError

ABANDONED_AFTER_S = 3600.0
"""Where a lock does not tell, as of another machine's writer, a temporary file this old, or of a
date this far ahead, belongs to none that still runs."""
PARTS = ("runs", "samples", "exhibits", "weights", "examples")
"""The folders of a results folder."""
FULL = "make room there, and give the same command again"
LIMIT = "raise the limit, see `ulimit -n`"
ADVICE = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL, errno.EMFILE: LIMIT}
PREFIX = ".vaebench-"
"""How a temporary file's name begins: an output folder may hold files of other programs."""
HERE = f"{PREFIX}{platform.node()}-"
"""How the names of this machine's begin: on a shared disk, a lock may be known to one machine."""


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turn what the system refuses within into a StorageError that names the folder."""
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "choose another place")
        raise StorageError(
            f"the output folder must be writable; {folder}: {error.strerror or error}: {advice}"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write all of the content or nothing: a temporary file beside it, fsync, rename.

    Raises StorageError.
    """
    with storing(path.parent), _unfinished(path.parent) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.chmod(file.name, 0o644)  # temporary files are for their owner alone
        os.replace(file.name, path)


@contextmanager
def _unfinished(folder: Path) -> Iterator[IO[bytes]]:
    """A temporary file that is gone at the end, and which `clear` leaves alone until then."""
    file = _locked_file(folder)
    try:
        yield file
    finally:
        Path(file.name).unlink(missing_ok=True)
        file.close()  # which a full disk refuses once more


def _locked_file(folder: Path) -> IO[bytes]:
    """A new file that is locked for as long as it is open: its writer lives."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115
            dir=folder, prefix=HERE, suffix=".tmp", delete=False
        )
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # one who clears was faster than the lock


def writable(out: Path) -> None:
    """Make a folder and see that it takes files, before the work is done. Raises InputError."""
    folder = out.resolve()
    if folder.name in PARTS and (folder.parent / "weights").is_dir():
        raise InputError(
            f"{out} is where the results folder {folder.parent} keeps its {folder.name}, and no "
            f"place for other files: choose another folder"
        )
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        clear(out)
        with _unfinished(out) as file:
            file.write(bytes(1 << 12))  # a full disk has room for a file of no bytes
            file.flush()


def clear(folder: Path, prefix: str = PREFIX) -> None:
    """Remove what writers left that were killed; what is being written stays."""
    for left in folder.glob(f"{prefix}*.tmp"):
        # One that is gone is in its place; another user's is for that user to remove.
        with suppress(FileNotFoundError, PermissionError), left.open("r+b") as file:
            if _is_abandoned(file):
                left.unlink()


def _is_abandoned(file: IO[bytes]) -> bool:
    """Whether no writer holds a temporary file, which from here on is held by us."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        is_locked = False
    else:
        is_locked = Path(file.name).name.startswith(HERE)
    return is_locked or abs(time.time() - os.fstat(file.fileno()).st_mtime) > ABANDONED_AFTER_S


def check_room(out: Path, num_bytes: int) -> None:
    """Raises StorageError where the disk has not as many bytes left."""
    with storing(out):
        left = shutil.disk_usage(out).free
    if left < num_bytes:
        raise StorageError(
            f"the disk of {out} must have room for about {num_bytes / 2**20:.1f} MiB of results; "
            f"it has {left / 2**20:.1f} MiB: make room there, or choose another disk"
        )
