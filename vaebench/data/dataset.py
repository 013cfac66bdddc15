"""A data set as tensors, with a stated range, split, binarisation and fingerprint."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.data.arrays import Arrays, fingerprint
from vaebench.data.lookup import find, stamp
from vaebench.densities import NUM_LEVELS, nearest_level, on_levels
from vaebench.errors import InputError
from vaebench.noise import Noise, key, permutations

PartName = Literal["train", "valid", "test"]
PARTS: tuple[PartName, ...] = ("train", "valid", "test")
VALID_FRACTION = 1 / 6


@dataclass(frozen=True)
class Part:
    """N images as intensities in [0, 1], their labels and factors of variation where known."""

    x: Tensor  # [N, P] float32
    y: Tensor | None  # [N] int64
    factors: Tensor | None = None  # [N, F] int64


@dataclass(frozen=True, eq=False)
class Dataset:
    """What the loop and the evaluation read. Observations are what a likelihood is given."""

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
        """P."""
        return self.train.x.shape[1]

    @property
    def log_volume(self) -> float:
        """P log 256 where images are dequantised, else 0: minus the log of an image's share of the
        unit cube. log P(x) >= E_u[log p(y)] - log_volume turns a density of y into a bound on the
        probability of the 8-bit image (Uria et al. 2013; Theis et al. 2016).
        """
        return self.num_pixels * math.log(NUM_LEVELS) if self.dequantised else 0.0

    def observe(self, name: PartName, epoch: int = 0) -> Tensor:
        """The binarised, dequantised or grey images of one part: [N, P] float32, a copy.

        Dynamic binarisation and dequantisation draw anew for each epoch, from a seed that the
        runs share, so that runs are compared on the same draws.
        """
        observed, stored = self.shared(name, epoch), getattr(self, name).x
        return observed.clone() if observed is stored else observed

    def shared(self, name: PartName, epoch: int = 0) -> Tensor:
        """The same for those who only read: it may be the data set's own memory."""
        x: Tensor = getattr(self, name).x
        seed = key(self.fingerprint, name, epoch)
        return _dequantise(x, seed) if self.dequantised else BINARISERS[self.binarisation](x, seed)


def _dynamic(x: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(x.shape, generator=generator) < x).float()


def _dequantise(x: Tensor, seed: int) -> Tensor:
    """(k + u) / 256 for intensities k / 255, u uniform: in the open (0, 1), also after rounding."""
    u = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    # rand has steps of 2^-24 and gives 0 itself; half a step stands for the lowest one.
    y = nearest_level(x).add_(u).div_(NUM_LEVELS)
    return y.clamp_(2.0**-25 / NUM_LEVELS, 1.0 - 2.0**-24)


BINARISERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "none": lambda x, seed: x,
    "static": lambda x, seed: x,
    "threshold": lambda x, seed: (x > 0.5).float(),
    "dynamic": _dynamic,
}
"""(intensities [N, P], seed) -> observations. Salakhutdinov & Murray 2008 draw statically, once;
Burda et al. 2016 dynamically."""


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
    stored: tuple[str, int, int] | None,
) -> Dataset:
    """`stored` is the stamp of the file: one that was written anew is read anew."""
    arrays = find(name)
    if binarisation == "static" and not _is_binary(arrays):
        raise InputError(
            f"binarisation 'static' needs stored values of 0 and 1; {arrays.label!r} has others: "
            f"choose none, dynamic or threshold"
        )
    test = _part(arrays, "test")
    train, valid = _split(arrays, valid_fraction, split_seed)
    if dequantise:
        _check_dequantisable(arrays.label, binarisation, (train, valid, test))
    return Dataset(
        arrays.label,
        arrays.image_shape,
        binarisation,
        fingerprint(arrays),
        train,
        valid,
        test,
        dequantise,
    )


def _check_dequantisable(label: str, binarisation: str, parts: tuple[Part, ...]) -> None:
    if binarisation != "none":
        raise InputError(
            f"dequantisation needs grey images; {label!r} has binarisation {binarisation!r}: "
            f"set it to none, or dequantise to false"
        )
    if not all(on_levels(part.x) for part in parts):
        raise InputError(
            f"dequantisation needs intensities on the {NUM_LEVELS} levels k/{NUM_LEVELS - 1}; "
            f"{label!r} has others: store images as uint8, or set dequantise to false"
        )


def _split(arrays: Arrays, valid_fraction: float | None, seed: int) -> tuple[Part, Part]:
    """The training and validation parts: the data set's own, or a seeded split."""
    train = _part(arrays, "train")
    if "x_valid" in arrays.parts:
        if valid_fraction is not None or seed:
            raise InputError(
                f"data set {arrays.label!r} has its own validation part; "
                f"remove valid_fraction and split_seed"
            )
        return train, _part(arrays, "valid")
    num_images = len(train.x)
    num_valid = round(num_images * (valid_fraction or VALID_FRACTION))
    if not 0 < num_valid < num_images:
        raise InputError(
            f"both parts of a split need an image; valid_fraction gives {num_valid} of {num_images}"
        )
    order = permutations(Noise((key("split", seed),)), num_images)[0]
    return _take(train, order[num_valid:]), _take(train, order[:num_valid])


def _part(arrays: Arrays, name: PartName) -> Part:
    intensities = torch.from_numpy(arrays.parts[f"x_{name}"].astype(np.float32)) / arrays.white
    y, factors = (_integers(arrays.parts.get(f"{kind}_{name}")) for kind in ("y", "factors"))
    return Part(intensities.flatten(1), y, factors)


def _integers(stored: NDArray[Any] | None) -> Tensor | None:
    return None if stored is None else torch.from_numpy(stored.astype(np.int64))


def _take(part: Part, rows: Tensor) -> Part:
    y, factors = (None if of is None else of[rows] for of in (part.y, part.factors))
    return Part(part.x[rows], y, factors)


def _is_binary(arrays: Arrays) -> bool:
    images = (x for name, x in arrays.parts.items() if name.startswith("x_"))
    return all(bool(((x == 0) | (x == arrays.white)).all()) for x in images)
