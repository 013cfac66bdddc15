"""How much to compute at once, so that memory does not grow with the work."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vaebench.core.memory import PeakBytes

CACHE_BYTES = 6 << 20
"""Bytes of a chunk on a CPU: what the decoder wrote is still in the cache when it is read."""
DEVICE_BYTES = 1 << 28
"""Bytes of a chunk on a GPU: so much work that the time to launch it does not count."""


def bytes_for(device: torch.device) -> int:
    """Bytes that a chunk may hold on a device."""
    return CACHE_BYTES if device.type == "cpu" else DEVICE_BYTES


def rows_within(max_bytes: int, one_row: Callable[[], object]) -> int:
    """How many rows a chunk of `max_bytes` has, at least one.

    `one_row` does the work on one of them. It is called once and its bytes are counted, as
    the widest tensor may be a layer's, the likelihood's or the prior's.
    """
    with PeakBytes() as memory:
        one_row()
    return max(1, max_bytes // max(1, memory.peak))
