"""The arrays of a data set as they are stored, checked on reading."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.errors import InputError

MAX_CLASSES = 10_000
REQUIRED = ("x_train", "x_test")
OPTIONAL = (
    *("x_valid", "y_train", "y_valid", "y_test"),
    *("factors_train", "factors_valid", "factors_test"),
)
WHAT_TO_STORE = "store images as uint8 in [0, 255], or float in [0, 1], first axis the examples"


@dataclass(frozen=True)
class Arrays:
    """x_train, x_test and, where there are any, x_valid, the labels y_* and the factors of
    variation factors_* [N, F].
    """

    label: str
    parts: Mapping[str, NDArray[Any]]
    white: float
    """The stored value that is intensity 1."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height and width, or whatever the stored images have."""
        return tuple(self.parts["x_train"].shape[1:])


def fingerprint(arrays: Arrays) -> str:
    """16 hex digits of the hash of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, x in sorted(arrays.parts.items()):
        digest.update(f"{name} {x.dtype.str} {x.shape} ".encode())
        digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()[:16]


def read_npz(path: Path) -> Arrays:
    """The checked arrays of an .npz file. Raises InputError that names the file and the fault."""
    try:
        with zipfile.ZipFile(path):
            pass  # np.load takes other formats too
        with np.load(path, allow_pickle=False) as stored:
            parts = {name: stored[name] for name in (*REQUIRED, *OPTIONAL) if name in stored}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} must be an .npz of plain arrays; reading it: {error}") from error
    return checked(Arrays(path.stem, parts, white=_white(path.stem, parts)))


def checked(arrays: Arrays) -> Arrays:
    """The same arrays. Raises InputError where images, labels and factors do not fit together."""
    for name, values in arrays.parts.items():
        kind, _, part = name.partition("_")
        CHECKS[kind](f"{arrays.label}: {name}", values, arrays, part)
    return arrays


def _white(label: str, parts: Mapping[str, NDArray[Any]]) -> float:
    """255 for uint8, but 1 where no stored value is above 1: then the images are binary."""
    missing = [name for name in REQUIRED if name not in parts]
    if missing:
        raise InputError(f"{label}: {missing[0]} is missing; a data set needs x_train and x_test")
    images = [x for name, x in parts.items() if name.startswith("x_")]
    if any(x.dtype != np.uint8 for x in images):
        return 1.0
    return 255.0 if max(x.max(initial=0) for x in images) > 1 else 1.0


def _check_images(what: str, x: NDArray[Any], arrays: Arrays, part: str) -> None:
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise InputError(f"{what} must be uint8 or float; got {x.dtype}: {WHAT_TO_STORE}")
    if x.ndim < 2 or x.size == 0 or len(x) < 2:
        raise InputError(f"{what} must hold two images or more; got an array of shape {x.shape}")
    if x.shape[1:] != arrays.image_shape:
        raise InputError(
            f"{what} must have images of one shape; got {x.shape[1:]} beside {arrays.image_shape}"
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{what} must be finite; got NaN or infinity: remove those images")
    if x.min() < 0 or x.max() > arrays.white:
        raise InputError(
            f"{what} must lie in [0, {arrays.white:g}]; got [{x.min():g}, {x.max():g}]: "
            f"{WHAT_TO_STORE}"
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
