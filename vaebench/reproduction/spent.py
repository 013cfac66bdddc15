"""What the verdict of a claim took: seconds of all calls, kept beside its runs."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaebench import results


def spent(out: Path) -> dict[str, float]:
    """Seconds of all calls so far."""
    path = out / "spent.json"
    seconds: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    return seconds


@contextmanager
def accounted(out: Path) -> Iterator[None]:
    """Add the seconds of this call to those of the calls before it, interrupted or not."""
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
