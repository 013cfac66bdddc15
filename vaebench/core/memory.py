"""Memory: the peak that some work takes, counted from its tensors, and what a device has free."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vaebench.core.errors import InputError, first_line

KEPT_BYTES = 31 << 20
"""Bytes of the block that is freed once: just below the largest that glibc adapts to, 32 MiB."""


class PeakBytes(TorchDispatchMode):
    """A context whose `peak` is the most bytes that tensors made in it hold at once.

    Exact and repeatable where the resident size of the process is neither; what an operation
    allocates and frees within itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.peak = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to keep Dynamo out of here would import it, which takes 1.6 s

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        old = {id(storage) for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            if id(storage) not in old:
                old.add(id(storage))
                self._hold(storage.nbytes())
                weakref.finalize(storage, self._hold, -storage.nbytes())
        return out

    def _hold(self, num_bytes: int) -> None:
        self.held += num_bytes
        self.peak = max(self.peak, self.held)


def _storages(tree: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def available_bytes(device: torch.device) -> int:
    """Bytes that a device has free, within the limit of a container."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return min(_free_on_machine(), _free_in_container())


def _free_on_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # no Linux: half of all memory, which every system tells
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def _free_in_container(control: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes free up to the limit of control groups, version 2, where there is one."""
    try:
        limit, used = (int((control / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (control / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no such file, or "max"
        return 1 << 62
    # Memory of files that were read is given back when it is needed.
    cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(0, limit - used + cached)


def keep_freed_memory() -> None:
    """Make the next step, or chunk, use the memory that the last one freed.

    glibc gives freed memory back to the system beyond twice the largest block, of up to 32 MiB,
    that was ever freed (mallopt(3), M_MMAP_THRESHOLD). To ask for it again, page by page, takes a
    tenth of a large training step and a fifth of an evaluation. Freeing such a block once costs
    nothing: it is never written.
    """
    np.empty(KEPT_BYTES, np.uint8)


@contextmanager
def within_memory(rule: str) -> Iterator[None]:
    """Turn what NumPy and PyTorch raise where memory is short into an InputError that says `rule`,
    what must fit, and what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise InputError(f"{rule} ({first_line(error)})") from error
