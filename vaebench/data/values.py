"""The kinds of numbers that a data set may hold, and what each must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = Literal["unit", "binary", "counts", "real"]
Numbers = NDArray[Any]

MOST_COUNTS = 1 << 24
"""The count up to which float32, in which data are read, holds every one."""


@dataclass(frozen=True)
class Kind:
    """What the numbers of a data set are declared to be."""

    described: str
    holds: Callable[[Numbers], NDArray[np.bool_]]
    """Whether each number is one of them."""
    advice: str
    grey: bool = False
    """Whether they are intensities of images, for which bytes go from 0 to 255."""


KINDS: Mapping[Values, Kind] = {
    "unit": Kind(
        "in [0, 1]",
        lambda x: (x >= 0) & (x <= 1),
        "rescale or clip them, or declare values = 'real'",
        grey=True,
    ),
    "binary": Kind(
        "0 or 1",
        lambda x: (x == 0) | (x == 1),
        "store them so, or declare values = 'unit' and a binarisation",
        grey=True,
    ),
    "counts": Kind(
        "whole numbers from 0 to 2^24",
        lambda x: (x >= 0) & (x <= MOST_COUNTS) & (x == np.floor(x)),
        "correct them, or declare values = 'real'",
    ),
    "real": Kind("finite", np.isfinite, "remove those examples"),
}


def are_intensities(values: Values | None) -> bool:
    """Whether numbers declared so, or not declared at all, are intensities of images."""
    return values is None or KINDS[values].grey
