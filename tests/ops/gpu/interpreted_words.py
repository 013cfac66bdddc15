"""The words that the kernel makes, by Triton's interpreter: those of `ops.noise`.

`test_gpu.py` runs this file in a process of its own, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

import pytest
import torch

from vaebench.ops.gpu.words import words_of_rows
from vaebench.ops.noise import Noise
from vaebench.ops.noise import words_of_rows as reference


@pytest.mark.parametrize("num_columns", [1, 6, 64, 1023, 1024, 1030])
@pytest.mark.parametrize(("key", "step"), [(3, 0), (2**63 - 1, 1), (2**62 + 2**32, 2**32 - 1)])
def test_the_words_of_some_rows(key: int, step: int, num_columns: int) -> None:
    noise, rows = Noise((key,), step=step), torch.tensor([5, 0, 2**31 + 1, 5])
    words = words_of_rows(noise, rows, num_columns)
    assert torch.equal(words, reference(noise, rows, num_columns))
    assert int(words.min()) >= 0
