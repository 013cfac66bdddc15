"""Removes runs from a folder, with all that lies beside their records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vaebench.results.files import PARTS
from vaebench.results.folder import file_of, remove
from vaebench.results.lock import alone


def num_bytes(out: Path, runs: Sequence[str]) -> int:
    """How many bytes the files of these runs take."""
    paths = (file_of(out, part, run) for run in runs for part in PARTS)
    return sum(path.stat().st_size for path in paths if path.exists())


def prune(out: Path, runs: Sequence[str]) -> None:
    """Remove these runs. Raises InputError where a study is at work in the folder."""
    with alone(out):
        drop(out, runs)


def drop(out: Path, runs: Sequence[str]) -> None:
    """Remove these runs, for one who holds the folder.

    The record goes last: where this is interrupted, it still says what is to be removed.
    """
    for run in runs:
        for part in (*PARTS[1:], PARTS[0]):
            remove(out, part, run)
