"""Products of matrices on a CPU in C: product.c and sparse.c."""

from __future__ import annotations

import ctypes

from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c.rows import empty


def product(a: Tensor, b: Tensor) -> Tensor:
    """a [S, M, K] and b [S, K, N] of float32, however they lie, to [S, M, N]."""
    (num_runs, num_rows, depth), num_columns = a.shape, b.shape[2]
    out = empty((num_runs, num_rows, num_columns))
    steps = (ctypes.c_int64 * 6)(*a.stride(), *b.stride())
    places = a.data_ptr(), b.data_ptr(), out.data_ptr()
    c.functions().vaebench_products(num_runs, num_rows, num_columns, depth, steps, *places)
    return out
