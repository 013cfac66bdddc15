"""The random words of some rows of one stream, made on a GPU."""

from __future__ import annotations

import triton
from torch import Tensor

from vaebench.ops.gpu import words_kernels
from vaebench.ops.gpu.launch import device_of, key_tensor
from vaebench.ops.noise import Noise


def words_of_rows(noise: Noise, rows: Tensor, num_columns: int) -> Tensor:
    """The words of noise.words_of_rows, in one launch: [n, D] 32-bit words as int64."""
    words = rows.new_empty(len(rows), num_columns)
    grid = len(rows), triton.cdiv(num_columns, 4 * words_kernels.QUADS.value)
    with device_of(rows):
        words_kernels.words[grid](
            rows.contiguous(), words, key_tensor(noise.keys, rows.device), noise.step, num_columns
        )
    return words
