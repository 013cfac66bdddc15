"""Statistics over seeds: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean with its 95% interval; the ends are NaN for fewer than two values."""

    mean: float
    low: float
    high: float
    num: int


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean and Student's t interval for it, with n - 1 degrees of freedom.

    Values that are all equal have an interval of no width.
    """
    from scipy import special

    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Interval(mean, float("nan"), float("nan"), count)
    standard_error = float(np.std(values, ddof=1)) / count**0.5
    half = float(special.stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * standard_error
    return Interval(mean, mean - half, mean + half, count)
