"""What a file or folder of arrays holds, checked before any of them is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from vaebench.core.errors import InputError, closest
from vaebench.core.memory import available_bytes
from vaebench.data.arrays import number_bytes

REQUIRED = ("x_train", "x_test")
OPTIONAL = (
    *("x_valid", "y_train", "y_valid", "y_test"),
    *("factors_train", "factors_valid", "factors_test"),
)
NUM_NAMED = 20
"""Members that a message names at most."""


class Sized(Protocol):
    """An array, or what is known of one before it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""


def is_part(name: str) -> bool:
    """Whether arrays of this name are read."""
    return name in (*REQUIRED, *OPTIONAL)


def check_names(where: str, names: Iterable[str], has_test: bool) -> None:
    """Raises InputError for a missing part, and for one under a name that is not read.

    `has_test`: whether the test part must be there, as it is not taken from the training part.
    """
    members = list(names)
    for name in REQUIRED if has_test else REQUIRED[:1]:
        if name not in members:
            raise InputError(
                f"{where}: {name} is missing; a data set needs x_train and x_test; "
                f"{closest(name, members)}the file has {_listed(members)}: rename what is meant"
                + (", or take it from x_train by data.test_fraction = 0.2" * (name == "x_test"))
            )
    for name in members:
        meant = _usual(name)
        if is_part(meant) and name != meant:
            raise InputError(
                f"{where}: {name!r} would not be read; rename it to {meant}, or remove it"
            )


def check_fits(where: str, arrays: Mapping[str, Sized]) -> None:
    """Raises InputError where the arrays and their tensors together do not fit into free memory."""
    numbers = {name: math.prod(x.shape) for name, x in arrays.items()}  # which cannot overflow
    stored = sum(numbers[name] * x.dtype.itemsize for name, x in arrays.items())
    tensors = sum(numbers[name] * number_bytes(name, x.dtype) for name, x in arrays.items())
    free = available_bytes(torch.device("cpu"))
    if stored + tensors > free:
        raise InputError(
            f"{where} must fit into memory: unpacked it has {_size(stored)}, and {_size(tensors)} "
            f"as the images and labels that are worked with; {_size(free)} are free: store fewer "
            f"or smaller images, or a folder of .npy files, which are read where they lie"
        )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.3g} GiB" if num_bytes < 1 << 60 else "over 1 EiB"


def _usual(name: str) -> str:
    """The name used here for x_val, X_dev, y_validation and the like."""
    kind, _, part = name.lower().partition("_")
    return f"{kind}_valid" if part in ("val", "dev", "validation") else f"{kind}_{part}"


def _listed(members: Sequence[str]) -> str:
    names = [repr(name[:100]) for name in members]
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return (", ".join(names[:NUM_NAMED]) + more) or "nothing"
