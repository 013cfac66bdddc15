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
    mean, low, high = mean_intervals(values).tolist()
    return Interval(mean, low, high, len(values))


def mean_intervals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`mean_interval` of many means at once, values [..., N]: mean, low and high [3, ...]."""
    count, means = values.shape[-1], values.mean(-1)
    if count < 2:
        return np.stack([means, np.full_like(means, np.nan), np.full_like(means, np.nan)])
    half = half_width(values.std(-1, ddof=1), count)
    return np.stack([means, means - half, means + half])


def half_width(deviation: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """How far the interval of a mean reaches to either side [...].

    From the standard deviation of so many values, of which there are at least two.
    """
    from scipy import special

    quantile = special.stdtrit(np.asarray(count) - 1, (1 + CONFIDENCE) / 2)
    return np.asarray(quantile * (np.asarray(deviation) / np.sqrt(count)))
