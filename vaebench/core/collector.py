"""Keeps Python's garbage collector out of where it only costs time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Within this context nothing is collected; afterwards as before.

    It would run within whichever of the steps that are timed comes by; and importing torch, which
    makes a million objects that all stay, it would go through them time after time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
