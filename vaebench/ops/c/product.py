"""Products of matrices on a CPU in C: product.c and sparse.c."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c.rows import empty

FEWEST = 1 << 22
"""Multiplications that are worth a thread of their own: about a tenth of a millisecond."""


def product(a: Tensor, b: Tensor, num_threads: int = 1) -> Tensor:
    """a [S, M, K] and b [S, K, N] of float32, however they lie, to [S, M, N].

    A row has the same bits whatever is beside it, so also in any number of threads.
    """
    (num_runs, num_rows, depth), num_columns = a.shape, b.shape[2]
    out = empty((num_runs, num_rows, num_columns))
    multiply = c.functions().vaebench_products
    steps = (ctypes.c_int64 * 6)(*a.stride(), *b.stride())
    size = num_runs * num_rows * depth * num_columns
    num_threads = min(num_threads, size // FEWEST)
    if num_threads < 2:
        places = a.data_ptr(), b.data_ptr(), out.data_ptr()
        multiply(num_runs, num_rows, num_columns, depth, steps, *places)
        return out

    def multiply_part(part: tuple[range, range]) -> None:
        runs, rows = part
        at = runs.start, rows.start
        places = a[at].data_ptr(), b[runs.start].data_ptr(), out[at].data_ptr()
        multiply(len(runs), len(rows), num_columns, depth, steps, *places)

    list(_threads(num_threads).map(multiply_part, _parts(num_runs, num_rows, num_threads)))
    return out


def _parts(num_runs: int, num_rows: int, num_threads: int) -> Iterator[tuple[range, range]]:
    """Runs with rows of theirs, as much for each thread: whole runs, or as many rows of each."""
    if num_runs % num_threads == 0:
        every = range(num_rows)
        yield from ((runs, every) for runs in _evenly(num_runs, num_threads))
    else:
        for run in range(num_runs):
            for rows in _evenly(num_rows, min(num_rows, num_threads)):
                yield range(run, run + 1), rows


def _evenly(num: int, num_parts: int) -> Iterator[range]:
    ends = [num * i // num_parts for i in range(num_parts + 1)]
    return itertools.starmap(range, itertools.pairwise(ends))


@functools.cache
def _threads(num: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num, thread_name_prefix="product")
