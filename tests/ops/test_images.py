"""Rows of images by C and by PyTorch: the same bits."""

import pytest
import torch

from vaebench.ops import c
from vaebench.ops.images import GREY, THRESHOLD, Reading, read


@pytest.mark.parametrize("rule", [GREY, THRESHOLD])
@pytest.mark.parametrize("num_pixels", [1, 3, 16, 65])
def test_c_and_pytorch_read_the_same_numbers(monkeypatch, num_pixels, rule):
    generator = torch.Generator().manual_seed(num_pixels)
    stored = torch.randint(256, (40, num_pixels), generator=generator, dtype=torch.uint8)
    rows, reading = torch.randint(40, (90,), generator=generator), Reading(255.0, rule)
    found = read(stored, reading, rows)
    monkeypatch.setattr(c, "library", lambda: None)
    assert torch.equal(read(stored, reading, rows), found)
    assert torch.equal(found, rule.formula(stored[rows].float() / 255.0))
