"""The arrays of a data set as they are stored, checked on reading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError
from vaebench.data.values import KINDS, Values, are_intensities

MAX_CLASSES = 10_000
WHAT_TO_STORE = (
    "store 8-bit images with .astype(np.uint8), integers of another range divided by their white, "
    "and declare counts as such, data.values = 'counts'"
)
CHUNK_BYTES = 1 << 20
MAX_RATIO = 50.0
"""Largest ratio between the greatest values of two parts; [0, 255] beside [0, 1] has 255."""


@dataclass(frozen=True)
class Arrays:
    """x_train and, where there are any, x_test, x_valid, the labels y_* and the factors of
    variation factors_* [N, F].
    """

    label: str
    parts: Mapping[str, NDArray[Any]]
    white: float
    """The stored value that is read as 1."""
    values: Values | None = None
    """What the numbers of x_* are declared to be; None: intensities, or any floats."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height and width, or whatever the stored images have."""
        return tuple(self.parts["x_train"].shape[1:])


def chunks(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The rows of an array in parts of about 1 MiB, so that no temporary array is large."""
    num_rows = rows_at_once(x.nbytes // max(1, len(x)))
    return (x[start : start + num_rows] for start in range(0, len(x), num_rows))


def rows_at_once(row_bytes: int) -> int:
    """How many rows of `row_bytes` bytes a chunk has, at least one."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def fingerprint(arrays: Arrays, changes: Sequence[str] = ()) -> str:
    """16 hex digits of the hash of names, types, shapes and bytes, and of how they are changed."""
    digest = hashlib.sha256("".join(changes).encode())
    if not are_intensities(arrays.values):  # else the numbers are what their type says
        digest.update(f"{arrays.values} ".encode())
    for name, x in sorted(arrays.parts.items()):
        digest.update(f"{name} {x.dtype.str} {x.shape} ".encode())
        for rows in chunks(x):
            digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()[:16]


def checked(arrays: Arrays, where: str = "") -> Arrays:
    """The same arrays, checked. Raises InputError where images, labels and factors do not fit.

    `where` names the file that they come from.
    """
    for name, values in arrays.parts.items():
        kind, _, part = name.partition("_")
        CHECKS[kind](f"{where or arrays.label}: {name}", values, arrays, part)
    _check_alike(where or arrays.label, arrays)
    return arrays


def white_of(parts: Mapping[str, NDArray[Any]], values: Values | None = None) -> float:
    """The stored value that is read as 1: 255 for images in uint8, or 1 where none is above 1."""
    images = [x for name, x in parts.items() if name.startswith("x_")]
    if not are_intensities(values) or any(x.dtype != np.uint8 for x in images):
        return 1.0
    return 255.0 if max(x.max(initial=0) for x in images) > 1 else 1.0


def number_bytes(name: str, dtype: np.dtype[Any]) -> int:
    """Bytes of each number in a tensor: bytes stay bytes, others are float32, labels int64."""
    if name.startswith("x_"):
        return 1 if in_bytes(dtype) else 4
    return 8


def in_bytes(dtype: np.dtype[Any]) -> bool:
    """Whether numbers are stored as bytes from 0 on, which are kept as such."""
    return dtype in (np.uint8, np.bool_)


def is_binary(arrays: Arrays) -> bool:
    """Whether every image is black and white as it is stored."""
    images = (x for name, x in arrays.parts.items() if name.startswith("x_"))
    return all(
        bool(((rows == 0) | (rows == arrays.white)).all()) for x in images for rows in chunks(x)
    )


def written(value: Any) -> str:
    """A number in words, with the digits that tell it from its neighbours in its precision."""
    return str(value).removesuffix(".0")


def _has_no_number(x: NDArray[Any]) -> NDArray[np.bool_]:
    """Which examples hold NaN or infinity."""
    return np.concatenate(
        [~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1) for rows in chunks(x)]
    )


def _check_images(what: str, x: NDArray[Any], arrays: Arrays, part: str) -> None:
    if arrays.values is None and not in_bytes(x.dtype) and x.dtype.kind != "f":
        raise InputError(f"{what} must be uint8, bool or float; got {x.dtype}: {WHAT_TO_STORE}")
    if x.dtype.kind not in "biuf":
        raise InputError(f"{what} must be numbers; got {x.dtype}: leave out what is text")
    if x.ndim == 1:
        raise InputError(
            f"{what} must have an axis of examples and one or more of their numbers; got shape "
            f"{x.shape}: store x.reshape(-1, 1) if an example is one number"
        )
    if x.ndim < 2 or x.size == 0 or len(x) < 2:
        raise InputError(f"{what} must hold two images or more; got an array of shape {x.shape}")
    if x.shape[1:] != arrays.image_shape:
        raise InputError(
            f"{what} must have images of one shape; got {x.shape[1:]} beside {arrays.image_shape}"
        )
    low, high = x.min(), x.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN and infinity show in the extremes
        spoiled = np.flatnonzero(_has_no_number(x))
        raise InputError(
            f"{what} must be finite; got NaN or infinity in {len(spoiled):,} of {len(x):,} "
            f"examples, the first at index {spoiled[0]}: remove them, or put numbers in their place"
        )
    if max(-float(low), float(high)) > float(np.finfo(np.float32).max):
        raise InputError(
            f"{what} must fit into float32; got [{written(low)}, {written(high)}]: rescale it"
        )
    if np.float32(low) == np.float32(high):
        raise InputError(
            f"{what} must have values that differ in float32; every one is {written(low)}, of "
            f"which nothing can be learned: store other images, or rescale them"
        )
    if arrays.values is not None:
        _check_declared(what, x, arrays.white, arrays.values)


def _check_declared(what: str, x: NDArray[Any], white: float, values: Values) -> None:
    """Raises InputError for a number that is not of the declared kind."""
    kind = KINDS[values]
    for rows in chunks(x.view(np.uint8) if x.dtype == np.bool_ else x):
        read = rows if white == 1.0 else rows / white
        if not (right := kind.holds(read)).all():
            raise InputError(
                f"{what} must be {kind.described}, as values = {values!r} says; got "
                f"{written(read[~right][0])}: {kind.advice}"
            )


def _check_alike(where: str, arrays: Arrays) -> None:
    """Raises InputError where the parts of a data set of images are on different scales."""
    if not are_intensities(arrays.values):
        return
    images = {name: x for name, x in arrays.parts.items() if name.startswith("x_")}
    kinds = ", ".join(f"{name} is {x.dtype}" for name, x in images.items())
    grey = [x.dtype == np.uint8 and x.max() > 1 for x in images.values()]
    if any(grey) and not all(x.dtype == np.uint8 for x in images.values()):
        raise InputError(f"{where}: all images must be stored alike; {kinds}: {WHAT_TO_STORE}")
    highest = {name: max(-float(x.min()), float(x.max())) for name, x in images.items()}
    least, most = (choose(highest, key=highest.__getitem__) for choose in (min, max))
    if highest[most] > 2.0 and highest[most] > MAX_RATIO * highest[least]:
        raise InputError(
            f"{where}: all images must be on one scale; {most} goes up to {highest[most]:.3g} and "
            f"{least} to {highest[least]:.3g}: rescale one of them"
        )


def _check_labels(what: str, y: NDArray[Any], arrays: Arrays, part: str) -> None:
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise InputError(f"{what} must be one integer per image; got {y.dtype} of shape {y.shape}")
    _check_classes(what, y)
    _check_rows(f"{what} must have one label per image", y, arrays, part)


def _check_factors(what: str, factors: NDArray[Any], arrays: Arrays, part: str) -> None:
    if factors.dtype.kind not in "iu" or factors.ndim != 2 or factors.shape[1] == 0:
        raise InputError(
            f"{what} must be integers [N, F], a row of F factors per image; "
            f"got {factors.dtype} of shape {factors.shape}"
        )
    _check_classes(what, factors)
    _check_rows(f"{what} must have one row per image", factors, arrays, part)
    stored = (x for name, x in arrays.parts.items() if name.startswith("factors_"))
    counts = sorted({x.shape[1] for x in stored if x.ndim == 2})
    if len(counts) > 1:
        raise InputError(f"{what} must have as many factors as the other parts; got {counts}")


def _check_classes(what: str, values: NDArray[Any]) -> None:
    if values.size and not 0 <= values.min() <= values.max() < MAX_CLASSES:
        raise InputError(
            f"{what} must be classes from 0 to {MAX_CLASSES - 1}; "
            f"got {values.min()} to {values.max()}"
        )


def _check_rows(rule: str, values: NDArray[Any], arrays: Arrays, part: str) -> None:
    x = arrays.parts.get(f"x_{part}")
    if x is None or len(values) != len(x):
        count = "none" if x is None else len(x)
        raise InputError(f"{rule}; got {len(values)} for {count}")


CHECKS = {"x": _check_images, "y": _check_labels, "factors": _check_factors}
"""(message's subject, stored array, all arrays, train | valid | test) by the kind of an array."""
