"""Locks on a results folder. The kernel holds them, so they end with their process, however it
ends; readers need none, as files are written whole."""

from __future__ import annotations

import fcntl
import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vaebench.core.errors import InputError, InputWarning
from vaebench.results.files import storing


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a folder for one study or sweep at a time. Raises InputError where one is at work."""
    with _opened(out / "work.lock") as file:
        if not _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            file.seek(0)
            holder = file.read().strip() or "it does not say which"
            raise InputError(
                f"one run or sweep at a time in {out}; another is at work ({holder}): wait, or "
                f"choose another folder"
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with storing(out):
            os.truncate(file.fileno(), 0)
            text = f"pid {os.getpid()} on {platform.node()}, since {since}\n"
            os.write(file.fileno(), text.encode())
        yield


@contextmanager
def changing(out: Path) -> Iterator[None]:
    """Hold the records of a folder while one is read and written; others wait for their turn."""
    with _opened(out / "records.lock") as file:
        _locked(file, fcntl.LOCK_EX)
        yield


def _opened(path: Path) -> IO[str]:
    with storing(path.parent):
        return path.open("a+")


def _locked(file: IO[str], how: int) -> bool:
    """Take the lock; False where another holds it. A file system without locks gives it to all."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError as error:
        folder = Path(file.name).parent
        warnings.warn(
            f"{folder} is on a file system without locks ({error.strerror}): see to it that "
            f"nothing else writes there meanwhile",
            InputWarning,
            stacklevel=2,
        )
    return True
