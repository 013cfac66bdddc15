"""The training, validation and test parts of a data set, as tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.data.arrays import Arrays, rows_at_once
from vaebench.data.images import Images
from vaebench.ops.images import Reading
from vaebench.ops.noise import Noise, key, permutations

PartName = Literal["train", "valid", "test"]
PARTS: tuple[PartName, ...] = ("train", "valid", "test")
VALID_FRACTION = 1 / 6


@dataclass(frozen=True)
class Part:
    """N images, their labels and factors of variation where known.

    The P pixels of an image are its stored axes [H, W], [H, W, C], [C, H, W] or others in row-major
    order, the last axis running fastest: `x.reshape(-1, *image_shape)` is what is stored. They are
    intensities in [0, 1], or of any range where they are not binarised.
    """

    images: Images
    y: Tensor | None  # [N] int64
    factors: Tensor | None = None  # [N, F] int64

    def __len__(self) -> int:
        return len(self.images)

    @property
    def x(self) -> Tensor:
        """All images [N, P], a copy in float32, four times as large as images stored in 8 bits."""
        return self.images.whole()


def split(arrays: Arrays, valid_fraction: float | None, seed: int) -> tuple[Part, Part]:
    """The training and validation parts: the data set's own, or a seeded split."""
    if "x_valid" in arrays.parts:
        if valid_fraction is not None or seed:
            raise InputError(
                f"data set {arrays.label!r} has its own validation part; "
                f"remove valid_fraction and split_seed"
            )
        return part_of(arrays, "train"), part_of(arrays, "valid")
    num_images = len(arrays.parts["x_train"])
    num_valid = round(num_images * (valid_fraction or VALID_FRACTION))
    if not 0 < num_valid < num_images:
        raise InputError(
            f"both parts of a split need an image; valid_fraction gives {num_valid} of {num_images}"
        )
    order = permutations(Noise((key("split", seed),)), num_images)[0].numpy()
    return part_of(arrays, "train", order[num_valid:]), part_of(arrays, "train", order[:num_valid])


def part_of(arrays: Arrays, name: PartName, rows: NDArray[Any] | None = None) -> Part:
    """Some rows of a stored part, or all."""
    y, factors = (_integers(arrays.parts.get(f"{kind}_{name}"), rows) for kind in ("y", "factors"))
    return Part(_images(arrays, name, rows), y, factors)


def _integers(stored: NDArray[Any] | None, rows: NDArray[Any] | None) -> Tensor | None:
    if stored is None:
        return None
    return torch.from_numpy((stored if rows is None else stored[rows]).astype(np.int64))


def _images(arrays: Arrays, name: PartName, rows: NDArray[Any] | None) -> Images:
    """Stored images [N, P]: bytes as they are, other numbers as float32, a chunk at a time."""
    stored = arrays.parts[f"x_{name}"]
    num_pixels = math.prod(arrays.image_shape)
    if stored.dtype.itemsize == 1:
        chosen = np.ascontiguousarray(stored if rows is None else stored[rows])
        codes = chosen.view(np.uint8).reshape(-1, num_pixels)
        return Images(torch.from_numpy(codes), Reading(arrays.white))
    order = np.arange(len(stored)) if rows is None else rows
    x = torch.empty(len(order), num_pixels)
    start = 0
    for chunk in x.split(rows_at_once(x[:1].nbytes)):
        some = stored[order[start : start + len(chunk)]].astype(np.float32)
        chunk.copy_(torch.from_numpy(some).flatten(1)).div_(arrays.white)
        start += len(chunk)
    return Images(x)
