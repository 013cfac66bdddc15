"""Statistics over seeds: pure functions of arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean with its 95% interval; the ends are NaN for fewer than two values."""

    mean: float
    low: float
    high: float
    num: int


def mean_interval(values: ArrayLike) -> Interval:
    """The mean and Student's t interval for it, with n - 1 degrees of freedom.

    Values that are all equal have an interval of no width.
    """
    values = np.asarray(values, float)
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Interval(mean, float("nan"), float("nan"), count)
    half = float(half_width(float(np.std(values, ddof=1)), count))
    return Interval(mean, mean - half, mean + half, count)


def half_width(deviation: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """How far the interval of a mean reaches to either side [...].

    From the standard deviation of so many values, of which there are at least two.
    """
    from scipy import special

    quantile = special.stdtrit(np.asarray(count) - 1, (1 + CONFIDENCE) / 2)
    return np.asarray(quantile * (np.asarray(deviation) / np.sqrt(count)))
