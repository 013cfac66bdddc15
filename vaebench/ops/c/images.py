"""Rows of images as the numbers that they are read as, in C: see images.c."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c.declarations import structure

TYPES = {
    torch.uint8: 0,
    torch.int8: 1,
    torch.int16: 2,
    torch.int32: 3,
    torch.int64: 4,
    torch.float32: 6,
    torch.float64: 7,
}
"""The types of stored numbers, as PyTorch numbers them."""
ImagesInC = ctypes.Structure
"""`Images` of images.h."""


class Place(NamedTuple):
    """Where an image is stored, and how its pixels are scaled: `Images` of images.h. None: not."""

    order: Tensor | None = None  # [N] int64
    shift: Tensor | None = None  # [P] float32
    scale: Tensor | None = None


AS_STORED = Place()


def images_in_c(
    stored: Tensor,
    white: float,
    rule: int,
    place: Place = AS_STORED,
    key: int = 0,
    epoch: int = 0,
) -> ImagesInC:
    """`Images` of images.h, which must not outlive the tensors.

    `stored`: [N, P] dense, of a type in TYPES.
    """
    assert stored.is_contiguous(), "rows lie one after the other"
    return structure("Images")(
        stored=stored.data_ptr(),
        type=TYPES[stored.dtype],
        pixels=stored.shape[1],
        rule=rule,
        key=key,
        epoch=epoch,
        **{name: None if t is None else t.data_ptr() for name, t in place._asdict().items()},
        white=white,
    )


def read(images: ImagesInC, rows: Tensor) -> Tensor:
    """Some of the images: [n, P] float32. `rows` [n], int64, must be within them."""
    numbers, rows = torch.empty(len(rows), images.pixels), rows.contiguous()
    c.functions().vaebench_images(
        ctypes.byref(images), rows.data_ptr(), len(rows), numbers.data_ptr()
    )
    return numbers
