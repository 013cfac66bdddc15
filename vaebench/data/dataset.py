"""A data set as tensors, with a stated range, split, binarisation and fingerprint."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.data.arrays import fingerprint, is_binary
from vaebench.data.images import Images, span, unit
from vaebench.data.lookup import Stamp, find, stamp
from vaebench.data.parts import PARTS, Part, PartName, Parts, alike, split
from vaebench.data.request import Request
from vaebench.data.scaling import standardised
from vaebench.data.values import Values, are_intensities
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
    values: Values | None = None
    """What the numbers are declared to be; None: intensities, or any floats."""
    by_library: bool = False
    """Whether the library size of an example of counts is taken as known."""

    @property
    def pictured(self) -> bool:
        """Whether an example can be looked at: counts and real values are vectors."""
        return are_intensities(self.values)

    @property
    def num_pixels(self) -> int:
        """The number of pixels of an image, P, colours included."""
        return self.train.images.num_pixels

    @property
    def log_volume(self) -> float:
        """What is taken off the log-density of what models see, to have that of what is stored.

        The log-Jacobian of standardised pixels y = (x - shift) / scale: the sum of log scale. Of
        dequantised images P log 256, as log P(x) >= E_u[log p(y)] - log_volume turns a density of y
        into a bound on the probability of the 8-bit image (Uria et al. 2013; Theis et al. 2016).
        """
        if self.dequantised:
            return self.num_pixels * math.log(NUM_LEVELS)
        scaling = self.train.images.reading.scaling
        return 0.0 if scaling is None else float(scaling.scale.double().log().sum())

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

    def tested_on(self, x: NDArray[Any]) -> Dataset:
        """This data set with other examples as its test part, stored and read as its own are.

        x is [N, *image_shape] or [N, P]. Raises InputError for numbers of another shape or kind.
        """
        stored = np.ascontiguousarray(x)
        part = alike(self.train, stored, self.image_shape, self.values)
        content = hashlib.sha256(f"{self.fingerprint} {stored.dtype.str} {stored.shape} ".encode())
        content.update(stored.data)
        return replace(self, test=part, fingerprint=content.hexdigest()[:16])

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
    **reading: Any,
) -> Dataset:
    """A data set by name or path, the others as in `Request`.

    Raises InputError where it cannot be had or is not valid.
    """
    request = Request(name, valid_fraction=valid_fraction, split_seed=split_seed, **reading)
    return _load(request, binarisation, dequantise, stamp(name))


@functools.lru_cache(maxsize=4)
def _load(request: Request, binarisation: str, dequantise: bool, stored: Stamp | None) -> Dataset:
    """A cached data set; `stored` is the stamp of its file, so that a changed one is read again."""
    read = _read(request, stored)
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
        *read.parts,
        dequantise,
        read.values,
        request.by_library,
    )
    _check_kind(dataset, request)
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
    values: Values | None
    parts: Parts


@functools.lru_cache(maxsize=4)
def _read(request: Request, stored: Stamp | None) -> Read:
    """Read the parts that all binarisations of a file share; its arrays are freed afterwards."""
    arrays = find(request)
    parts = split(arrays, request)
    if request.standardise:
        parts = standardised(parts)
    return Read(
        arrays.label,
        arrays.image_shape,
        fingerprint(arrays, request.changes),
        is_binary(arrays),
        arrays.values,
        parts,
    )


# ------------------------------------------------------------------ what fits together


def _check_kind(data: Dataset, request: Request) -> None:
    """Raises InputError where numbers of another kind are to be drawn from, scaled or counted."""
    said = f"{data.label!r} has values {data.values or 'that are not declared'}"
    if not data.pictured and (data.dequantised or data.binarisation != "none"):
        raise InputError(f"binarisation and dequantisation are of images; {said}: remove them")
    if request.standardise and data.values != "real":
        raise InputError(
            f"standardise needs values = 'real'; {said}: declare them so, or remove standardise"
        )
    if request.by_library and data.values != "counts":
        raise InputError(
            f"library_size needs values = 'counts'; {said}: declare them so, or remove library_size"
        )


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
            f"{100 * white / (num * images.num_pixels):.3g}% of the pixels are white, of "
            f"intensities {span(grey)}. {REMEDIES[data.binarisation]}"
        )
