"""How processes that train are to use threads and memory, where the user does not say otherwise."""

from __future__ import annotations

import os

THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that spin while they wait hold up small operations by milliseconds where cores are
shared. Read when PyTorch is imported."""
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 1 << 30),
    "MALLOC_TRIM_THRESHOLD_": (-1, (1 << 31) - 1),
}
"""glibc gives large blocks back to the system as soon as they are free, and each tensor of the next
step takes its pages anew: a tenth of the time of a large step. By the name of its variable, which
is read when a process starts: the number that mallopt(3) has for it, and the value in bytes."""
VARIABLES = {**THREADS, **{name: str(value) for name, (_, value) in ALLOCATOR.items()}}
"""The environment of a process that is started."""


def wait_passively() -> None:
    """Have the threads of this process wait as `THREADS` says; before PyTorch is imported."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
