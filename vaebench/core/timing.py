"""What makes timings compare: a fixed number of threads, and a GPU that has done its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads(num_threads: int) -> Iterator[None]:
    """Within this context PyTorch computes in so many threads; afterwards in as many as before.

    On busy cores a second thread holds the first one up by milliseconds, and sums come in another
    order: so timings and comparisons are made on a fixed number, mostly one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given; a CPU has when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
