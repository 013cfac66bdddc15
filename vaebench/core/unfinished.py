"""Folders in which something is made that appears at once, when it is whole."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_AFTER_S = 3600.0
"""Where a lock does not tell, as of another machine's maker, the age at which a folder is left."""


@contextmanager
def making(target: Path) -> Iterator[Path]:
    """A folder beside `target` to make it in, which is gone at the end. What makers left that were
    killed is removed first."""
    start = f".making-{target.name}-"
    for left in target.parent.glob(f"{start}*"):
        if _is_abandoned(left, f"{start}{platform.node()}-"):
            shutil.rmtree(left, ignore_errors=True)
    folder, descriptor = _locked_folder(target.parent, f"{start}{platform.node()}-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked_folder(parent: Path, start: str) -> tuple[Path, int]:
    """A new folder that is locked for as long as its descriptor is open: its maker lives."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=start))
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)  # one who clears was faster than the lock


def _is_abandoned(folder: Path, start_here: str) -> bool:
    """Whether nobody makes anything in a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it is gone, or another user's
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = folder.name.startswith(start_here)
    except BlockingIOError:
        return False
    except OSError:
        is_free = False
    finally:
        age_s = abs(time.time() - os.fstat(descriptor).st_mtime)
        os.close(descriptor)
    return is_free or age_s > ABANDONED_AFTER_S
