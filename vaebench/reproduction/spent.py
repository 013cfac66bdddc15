"""What the verdict of a claim took: seconds of all calls, kept beside its runs."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from vaebench import results
from vaebench.core.errors import InputError


def spent(out: Path) -> dict[str, float]:
    """Seconds of all calls so far. Raises InputError where their file is damaged."""
    path = out / "spent.json"
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, float])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} must hold the seconds of the calls before; it is damaged: delete it, and they "
            f"are counted anew"
        ) from error


@contextmanager
def accounted(out: Path) -> Iterator[None]:
    """Add the seconds of this call to those of the calls before it, interrupted or not.

    Raises InputError, before anything is done, where the file of those is damaged.
    """
    spent(out)
    started, processors = time.monotonic(), _processor_s()
    try:
        yield
    finally:
        if out.is_dir():
            before = spent(out)
            now = {
                "wall_s": before.get("wall_s", 0.0) + time.monotonic() - started,
                "processor_s": before.get("processor_s", 0.0) + _processor_s() - processors,
            }
            results.write_atomically(out / "spent.json", json.dumps(now).encode())


def _processor_s() -> float:
    """Seconds of processors that this process and its ended children have had."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
