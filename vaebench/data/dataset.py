"""A data set as tensors, with a stated range, split, binarisation and fingerprint."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.data.arrays import fingerprint, is_binary
from vaebench.data.images import Images, span, unit
from vaebench.data.lookup import Stamp, find, stamp
from vaebench.data.parts import PARTS, Part, PartName, part_of, split
from vaebench.ops.densities import NUM_LEVELS, on_levels
from vaebench.ops.images import BINARISED, DEQUANTISED, GREY, THRESHOLD
from vaebench.ops.noise import Noise, key

MOST_BLANK = 0.9
"""Share of images that a binarisation may leave all black or all white, at most."""
REMEDIES = {
    "threshold": "Rescale them, so that 0.5 lies between dark and bright, or take 'dynamic'",
    "dynamic": "Rescale them to fill [0, 1], or choose a likelihood of grey values",
}
"""What to do where too many images come out blank, by binarisation."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of a data set, as training and evaluation read them.

    Observations are the images that the likelihood is for: binarised, dequantised or grey.

    `image_shape` are the stored axes of an image, from which its P pixels are flattened row-major.
    """

    label: str
    image_shape: tuple[int, ...]
    binarisation: str
    fingerprint: str
    train: Part
    valid: Part
    test: Part
    dequantised: bool = False

    @property
    def num_pixels(self) -> int:
        """The number of pixels of an image, P, colours included."""
        return self.train.images.num_pixels

    @property
    def log_volume(self) -> float:
        """Minus the log of an image's share of the unit cube: P log 256 where dequantised, else 0.

        log P(x) >= E_u[log p(y)] - log_volume turns a density of y into a bound on the probability
        of the 8-bit image (Uria et al. 2013; Theis et al. 2016).
        """
        return self.num_pixels * math.log(NUM_LEVELS) if self.dequantised else 0.0

    @property
    def greys(self) -> tuple[float, float]:
        """The values that are drawn black and white.

        0 and 1, or the least and greatest value of a training part that goes beyond them.
        """
        low, high = self.train.images.extremes()
        return (0.0, 1.0) if unit(self.train.images) else (float(low), float(high))

    def observe(self, name: PartName, epoch: int = 0) -> Tensor:
        """The binarised, dequantised or grey images of one part: [N, P] float32, a copy.

        Dynamic binarisation and dequantisation draw anew for each epoch, from a stream of the data
        set that all runs share, so that runs are compared on the same draws.
        """
        return self.observations(name, epoch).whole()

    def observations(self, name: PartName, epoch: int = 0) -> Images:
        """The same, drawn as they are read, a few at a time: an image has the same draws in any
        order, minibatch and stack."""
        images: Images = getattr(self, name).images
        rule = DEQUANTISED if self.dequantised else RULES[self.binarisation]
        return images.observed(rule, Noise((key(self.fingerprint, name),), step=epoch))


DRAWS = "Philox, by data set, part, epoch, image and pixel"
"""How observations are drawn, where they are: part of what two figures must share."""
RULES = {"none": GREY, "static": GREY, "threshold": THRESHOLD, "dynamic": BINARISED}
"""What is observed, by binarisation. Salakhutdinov & Murray 2008 draw statically, once; Burda et
al. 2016 dynamically."""


def load(
    name: str,
    binarisation: str,
    valid_fraction: float | None = None,
    split_seed: int = 0,
    dequantise: bool = False,
) -> Dataset:
    """A data set by name or .npz path. Raises InputError where it cannot be had or is not valid."""
    return _load(name, binarisation, valid_fraction, split_seed, dequantise, stamp(name))


@functools.lru_cache(maxsize=4)
def _load(
    name: str,
    binarisation: str,
    valid_fraction: float | None,
    split_seed: int,
    dequantise: bool,
    stored: Stamp | None,
) -> Dataset:
    """A cached data set; `stored` is the stamp of its file, so that a changed one is read again."""
    read = _read(name, valid_fraction, split_seed, stored)
    if binarisation == "static" and not read.binary:
        raise InputError(
            f"binarisation 'static' needs stored values of 0 and 1; {read.label!r} has others: "
            f"choose none, dynamic or threshold"
        )
    dataset = Dataset(
        read.label,
        read.image_shape,
        binarisation,
        read.fingerprint,
        read.train,
        read.valid,
        read.test,
        dequantise,
    )
    if dequantise:
        _check_dequantisable(dataset)
    if binarisation in ("dynamic", "threshold"):
        for part in PARTS:
            _check_binarised(dataset, part)
    return dataset


class Read(NamedTuple):
    """A data set as it is stored, before binarisation or dequantisation."""

    label: str
    image_shape: tuple[int, ...]
    fingerprint: str
    binary: bool
    train: Part
    valid: Part
    test: Part


@functools.lru_cache(maxsize=4)
def _read(name: str, valid_fraction: float | None, split_seed: int, stored: Stamp | None) -> Read:
    """Read the parts that all binarisations of a file share; its arrays are freed afterwards."""
    arrays = find(name)
    train, valid = split(arrays, valid_fraction, split_seed)
    return Read(
        arrays.label,
        arrays.image_shape,
        fingerprint(arrays),
        is_binary(arrays),
        train,
        valid,
        part_of(arrays, "test"),
    )


# ------------------------------------------------------------------ what fits together


def _check_dequantisable(data: Dataset) -> None:
    if data.binarisation != "none":
        raise InputError(
            f"dequantisation needs grey images; {data.label!r} has binarisation "
            f"{data.binarisation!r}: set it to none, or dequantise to false"
        )
    parts = (data.train, data.valid, data.test)
    if not all(on_levels(rows) for part in parts for rows in part.images.chunks()):
        raise InputError(
            f"dequantisation needs intensities on the {NUM_LEVELS} levels k/{NUM_LEVELS - 1}; "
            f"{data.label!r} has others: store images as uint8, or set dequantise to false"
        )


def _check_binarised(data: Dataset, name: PartName) -> None:
    """Raises InputError for values outside [0, 1], and where most images come out blank."""
    grey = getattr(data, name).images
    named = f"binarisation {data.binarisation!r}"
    if not unit(grey):
        raise InputError(
            f"{named} needs intensities in [0, 1]; {data.label!r} ({name}) has values "
            f"{span(grey)}: rescale or clip them, or set binarisation to none and choose a "
            f"likelihood of such values (gaussian, laplace)"
        )
    images = data.observations(name)
    num, blank, alike, white = len(images), 0, len(images) > 1, 0.0
    first = images[:1]
    for x in images.chunks():
        blank += int((x.amin(1) == x.amax(1)).sum())
        alike = alike and bool((x == first).all())
        white += float(x.sum(dtype=torch.float64))
    num_blank = blank if images.num_pixels > 1 else 0
    if alike or num_blank > MOST_BLANK * num:
        raise InputError(
            f"{named} must leave something to learn; of {data.label!r} ({name}) {num_blank} of "
            f"{num} images come out all black or all white{', all the same' if alike else ''}: "
            f"{100 * white / images.stored.numel():.3g}% of the pixels are white, of intensities "
            f"{span(grey)}. {REMEDIES[data.binarisation]}"
        )
