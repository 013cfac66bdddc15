"""What the launches of the kernels share: tiles, layouts, keys on the device.

A tensor of rows is read in place where its rows are dense and lie whole rows apart on every other
axis, as the halves of a chunk, a transposed stack or an expanded axis do; otherwise it is copied.
"""

from __future__ import annotations

import functools

import torch
import triton
from torch import Tensor

TILE = 1024
"""Elements per program."""

NUM_WARPS = 4
"""8 elements per thread, so that a thread owns two Philox calls and two 16-byte fp32 accesses."""


def tile(num_columns: int) -> dict[str, int]:
    """Rows and columns of the tile of one program; a wider row than TILE is read in pieces."""
    block = min(max(4, triton.next_power_of_2(num_columns)), TILE)
    return {"ROWS": TILE // block, "BLOCK": block}


def num_tiles(num_rows: int, num_columns: int) -> int:
    """Programs that B rows of D columns take."""
    return int(triton.cdiv(num_rows, tile(num_columns)["ROWS"]))


def with_whole_rows(x: Tensor) -> Tensor:
    """x, copied unless its rows [..., B, D] are dense and all axes before lie whole rows apart."""
    *outer, row, column = x.stride()
    dense = (column == 1 or x.shape[-1] == 1) and row > 0
    return x if dense and all(stride % row == 0 for stride in outer) else x.contiguous()


def in_rows(x: Tensor, axis: int) -> int:
    """How many rows apart neighbours on an axis are, of a tensor with whole rows.

    Kernels multiply it by the stride of a row, known when they are compiled: so the compiler sees
    what an address is a multiple of, and widens its accesses.
    """
    return x.stride(axis) // x.stride(-2)


@functools.lru_cache(maxsize=64)
def key_tensor(keys: tuple[int, ...], device: torch.device) -> Tensor:
    """The keys on the device: int64 [S]. Kept, because the copy to a GPU would stall every step."""
    return torch.tensor(keys, dtype=torch.int64, device=device)


@functools.lru_cache(maxsize=16)
def extra_steps(device: torch.device) -> Tensor:
    """int64 [1], 0: what the kernels on a device add to the step of their noise.

    The step is an argument, frozen in a captured CUDA graph. A graph that ends with
    `extra_steps(device).add_(1)` draws other noise at each replay.
    """
    return torch.zeros(1, dtype=torch.int64, device=device)


def device_of(x: Tensor) -> torch.cuda.device_of:
    """Makes x's device the current one, on which Triton launches."""
    return torch.cuda.device_of(x)
