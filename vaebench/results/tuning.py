"""Who was tuned how: OUT/tuning.json, which a sweep writes beside its final runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from vaebench.core.errors import InputError
from vaebench.results.files import write_atomically

FILE = "tuning.json"


class Tuning(Struct, frozen=True, kw_only=True):
    """One variant of a sweep: its final runs, and what its search took."""

    variant: str
    untuned: list[str]
    """The ids of its runs as the study has it."""
    tuned: list[str]
    """The ids of its runs as its best trial has it, on the same seeds; none without a best."""
    trials: int
    pruned: int
    lost: int
    """Trials that were refused, failed or diverged."""
    steps: int
    """Training steps of all trials, summed over runs."""
    decoder_evaluations: int
    chosen: int | None
    """The number of the best trial."""
    values: dict[str, float]
    """Its targets, on the validation part."""
    parameters: dict[str, Any]
    """What it drew, by dotted place."""


def write_tuning(out: Path, tunings: Sequence[Tuning]) -> None:
    """Write OUT/tuning.json. Raises StorageError."""
    write_atomically(out / FILE, msgspec.json.format(msgspec.json.encode(tunings), indent=1))


def read_tuning(out: Path) -> list[Tuning]:
    """What a sweep wrote; nothing where there was none. Raises InputError where it is damaged."""
    path = out / FILE
    if not path.exists():
        return []
    try:
        tunings: list[Tuning] = msgspec.json.decode(path.read_bytes(), type=list[Tuning])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} must be what a sweep wrote ({error}): give the sweep's command again"
        ) from error
    return tunings
