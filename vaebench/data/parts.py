"""The training, validation and test parts of a data set, as tensors."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.data.arrays import Arrays, in_bytes, rows_at_once
from vaebench.data.folder import read_in_place
from vaebench.data.images import Images
from vaebench.data.request import Request
from vaebench.data.values import KINDS, Values, are_intensities
from vaebench.ops.images import Reading
from vaebench.ops.noise import Noise, key, permutations

Rows = NDArray[Any]
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


class Parts(NamedTuple):
    """The parts of a data set."""

    train: Part
    valid: Part
    test: Part


def split(arrays: Arrays, request: Request) -> Parts:
    """The parts that are stored, or a seeded split of those that are not.

    Raises InputError for a fraction of what is stored, and one that leaves a part empty.
    """
    rows, test = _without_test(arrays, request)
    if "x_valid" in arrays.parts:
        if request.valid_fraction is not None or (request.split_seed and rows is None):
            _check_not_stored(arrays, "valid", "valid_fraction and split_seed")
        return Parts(part_of(arrays, "train", rows), part_of(arrays, "valid"), test)
    fraction = request.valid_fraction or VALID_FRACTION
    train_rows, valid_rows = _divided(arrays, rows, "valid", fraction, request.split_seed)
    train, valid = (part_of(arrays, "train", chosen) for chosen in (train_rows, valid_rows))
    return Parts(train, valid, test)


def _without_test(arrays: Arrays, request: Request) -> tuple[Rows | None, Part]:
    """The rows that are not to test on, None for all that are stored to train on; the test part."""
    if request.test_fraction is None:
        return None, part_of(arrays, "test")
    _check_not_stored(arrays, "test", "test_fraction")
    rows, taken = _divided(arrays, None, "test", request.test_fraction, request.split_seed)
    return rows, part_of(arrays, "train", taken)


def _check_not_stored(arrays: Arrays, part: PartName, settings: str) -> None:
    if f"x_{part}" in arrays.parts:
        name = {"valid": "validation", "test": "test"}[part]
        raise InputError(f"data set {arrays.label!r} has its own {name} part; remove {settings}")


def _divided(
    arrays: Arrays, rows: Rows | None, part: PartName, fraction: float, seed: int
) -> tuple[Rows, Rows]:
    """These rows of the stored training part, or all, without and with those of another part."""
    num_images = len(arrays.parts["x_train"]) if rows is None else len(rows)
    num_taken = round(num_images * fraction)
    if not 0 < num_taken < num_images:
        raise InputError(
            f"both parts of a split need an image; {part}_fraction gives {num_taken} of "
            f"{num_images}"
        )
    purpose = {"valid": "split", "test": "split of the test part"}[part]
    order = permutations(Noise((key(purpose, seed),)), num_images)[0].numpy()
    chosen = order if rows is None else rows[order]
    return chosen[num_taken:], chosen[:num_taken]


def part_of(arrays: Arrays, name: PartName, rows: Rows | None = None) -> Part:
    """Some rows of a stored part, or all."""
    y, factors = (_integers(arrays.parts.get(f"{kind}_{name}"), rows) for kind in ("y", "factors"))
    return Part(_images(arrays, name, rows), y, factors)


def alike(part: Part, x: NDArray[Any], image_shape: tuple[int, ...], values: Values | None) -> Part:
    """Other examples [N, *image_shape] or [N, P] as a part that is read as another part is.

    Raises InputError for numbers of another shape, type or kind.
    """
    num_pixels, like = math.prod(image_shape), part.images
    if len(x) == 0 or x.shape[1:] not in (image_shape, (num_pixels,)):
        raise InputError(
            f"examples must have shape [N, {', '.join(map(str, image_shape))}], or [N, "
            f"{num_pixels}]; got {tuple(x.shape)}"
        )
    reading = Reading(like.reading.white, scaling=like.reading.scaling)
    if in_bytes(x.dtype) and like.stored.dtype == torch.uint8:
        stored = torch.from_numpy(x.view(np.uint8).reshape(-1, num_pixels).copy())
    else:
        _check_numbers(x, like, values)
        stored = torch.from_numpy(x.astype(np.float32).reshape(-1, num_pixels))
    return Part(Images(stored, reading), None)


def _check_numbers(x: NDArray[Any], like: Images, values: Values | None) -> None:
    """Raises InputError for numbers that are not on the scale of the training part."""
    intensities = are_intensities(values)
    if x.dtype.kind not in ("f" if intensities else "biuf") or not np.isfinite(x).all():
        stored = "bytes" if like.stored.dtype == torch.uint8 else "floats"
        raise InputError(
            f"examples must be finite numbers, stored as the training part is, in {stored}; got "
            f"{x.dtype}: divide bytes by 255 to have intensities as floats"
        )
    if like.stored.dtype == torch.uint8 and intensities and not ((x >= 0) & (x <= 1)).all():
        raise InputError(
            f"examples in floats must be intensities in [0, 1], as the training part's are when "
            f"they are read; got {x.min():g} to {x.max():g}: divide by {like.reading.white:g}"
        )
    if values is not None and not (right := KINDS[values].holds(x)).all():
        raise InputError(
            f"examples must be {KINDS[values].described}, as the training part's are; got "
            f"{x[~right][0]:g}"
        )


def _integers(stored: NDArray[Any] | None, rows: Rows | None) -> Tensor | None:
    if stored is None:
        return None
    return torch.from_numpy((stored if rows is None else stored[rows]).astype(np.int64))


def _images(arrays: Arrays, name: PartName, rows: Rows | None) -> Images:
    """Stored images [N, P]: bytes as they are, other numbers as float32, a chunk at a time.

    Those that lie in a file and can be read there stay there.
    """
    stored = arrays.parts[f"x_{name}"]
    num_pixels = math.prod(arrays.image_shape)
    if read_in_place(stored):
        chosen_rows = None if rows is None else torch.from_numpy(rows)
        reading = Reading(arrays.white, order=chosen_rows)
        return Images(_mapped(stored.reshape(-1, num_pixels)), reading)
    if in_bytes(stored.dtype):
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


def _mapped(stored: NDArray[Any]) -> Tensor:
    """A tensor of the bytes of a file, which nothing may write to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it is not writable
        return torch.from_numpy(stored.view(np.uint8) if in_bytes(stored.dtype) else stored)
