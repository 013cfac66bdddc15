"""The C library's allocator, told to keep what this process frees."""

from __future__ import annotations

import ctypes
import os

from vaebench.core.settings import ALLOCATOR


def keep_memory() -> None:
    """Have this process keep what it frees, as one does that is started with `VARIABLES`.

    Nothing where the C library is another than glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, (parameter, value) in ALLOCATOR.items():
        if mallopt and name not in os.environ:
            mallopt(parameter, value)
