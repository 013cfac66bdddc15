"""The data set `counts`: over-dispersed counts like those of single cells, with known factors."""

from __future__ import annotations

import numpy as np

from vaebench.data.arrays import Arrays
from vaebench.data.drawn import Numbers, combinations, divided, uniform

NUM_COLUMNS = 24
TIMES = 50
"""Examples of each combination of factors."""
FACTORS = {"kind": 5, "activity": 4, "depth": 3}
"""The columns of the factors, and how many values each has."""
DEPTHS = (0.5, 1.0, 2.0)
"""By how much the depth multiplies all means of an example."""
SIZE = 2.0
"""The size r of the negative binomial: a mean m comes with the variance m + m^2 / 2."""


def counts() -> Arrays:
    """3000 examples of 24 counts, from all 60 combinations of kind, activity and depth.

    Each count is drawn from a negative binomial, independently given the factors; the largest is
    252. The test part is a fixed fifth; the labels are the kinds.
    """
    from scipy.stats import nbinom

    factors = combinations(tuple(FACTORS.values()), TIMES)
    u = uniform("counts", "examples", (len(factors), NUM_COLUMNS))
    x = nbinom.ppf(u, SIZE, SIZE / (SIZE + means(factors)))
    return divided("counts", x.astype(np.uint8), factors, 1.0, "counts")


def means(factors: np.ndarray) -> Numbers:
    """The mean of each count given the factors [N, 3]: [N, 24].

    Its log is the sum of a level of the column, of what the kind changes there, of the activity
    along one profile over the columns, and of the log depth.
    """
    kinds, activities, depths = factors.T
    level = _between(-0.5, 2.5, "levels", 1)
    by_kind = _between(-1.5, 1.5, "kinds", FACTORS["kind"])
    profile = _between(-0.5, 0.5, "profile", 1)
    log_means = level + by_kind[kinds] + activities[:, None] * profile
    means_at_1: Numbers = np.exp(log_means)
    return means_at_1 * np.array(DEPTHS)[depths, None]


def _between(low: float, high: float, purpose: str, num: int) -> Numbers:
    return low + (high - low) * uniform("counts", purpose, (num, NUM_COLUMNS))
