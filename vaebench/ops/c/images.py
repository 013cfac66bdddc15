"""Rows of images as the numbers that they are read as, in C: see images.c."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c.declarations import structure

ImagesInC = ctypes.Structure
"""`Images` of images.h."""


def images_in_c(stored: Tensor, white: float, rule: int, key: int = 0, epoch: int = 0) -> ImagesInC:
    """`Images` of images.h, which must not outlive `stored`: [N, P] dense, uint8 or float32."""
    assert stored.is_contiguous(), "rows lie one after the other"
    return structure("Images")(
        stored=stored.data_ptr(),
        is_bytes=stored.dtype == torch.uint8,
        pixels=stored.shape[1],
        rule=rule,
        key=key,
        epoch=epoch,
        white=white,
    )


def read(images: ImagesInC, rows: Tensor) -> Tensor:
    """Some of the images: [n, P] float32. `rows` [n], int64, must be within them."""
    numbers, rows = torch.empty(len(rows), images.pixels), rows.contiguous()
    c.functions().vaebench_images(
        ctypes.byref(images), rows.data_ptr(), len(rows), numbers.data_ptr()
    )
    return numbers
