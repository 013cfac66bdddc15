"""How large a paired difference is, and how large a one some seeds would detect."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaebench.report.statistics.crossed_design import ALPHA, Spread, squared_quantile

POWER = 0.8
MOST_SEEDS = 10_000
"""A difference that needs more seeds is out of reach."""

FEWEST_SEEDS = 3
"""Seeds below which an effect size is NaN."""


class EffectSize(NamedTuple):
    """A standardised difference with its 95% interval; NaN where there is none."""

    value: float
    low: float
    high: float


def effect_size(d: NDArray[np.float64]) -> EffectSize:
    """Hedges' g of paired differences d [S]: their mean in standard deviations over seeds.

    The mean over the standard deviation, times Hedges' correction (1981, "Distribution theory for
    Glass's estimator of effect size", eq. 6e, exact) for its bias at few seeds. The interval is
    that of the noncentral t distribution (Cumming & Finch 2001), not corrected. NaN without spread,
    and below three seeds, where the correction is 0: the mean over the deviation of two has no
    expectation to correct.
    """
    from scipy import special

    count = len(d)
    deviation = float(np.std(d, ddof=1)) if count >= FEWEST_SEEDS else 0.0
    if not deviation > 0.0:
        return EffectSize(np.nan, np.nan, np.nan)
    degrees, root = count - 1, count**0.5
    logarithm = special.gammaln(degrees / 2) - special.gammaln((degrees - 1) / 2)
    correction = np.exp(logarithm) * (2 / degrees) ** 0.5
    t = float(np.mean(d)) / deviation * root
    low, high = (float(special.nctdtrinc(degrees, a, t)) for a in (1 - ALPHA / 2, ALPHA / 2))
    return EffectSize(float(correction) * t / root, low / root, high / root)


def detectable(spread: Spread) -> float:
    """The smallest difference that a study of this spread detects with 80% power.

    It detects where its own 95% interval leaves 0 out. From the noncentral t distribution with
    Satterthwaite's degrees of freedom, exact for seeds alone. The spread is the one seen: with few
    seeds it is itself uncertain. NaN for one seed.
    """
    from scipy import special

    if spread.num_seeds < 2:
        return float("nan")
    reach = np.sqrt(squared_quantile(spread, ALPHA))
    return float(special.nctdtrinc(spread.degrees, 1 - POWER, reach) * np.sqrt(spread.variance))


def seeds_to_detect(spread: Spread, difference: float) -> float:
    """The least number of seeds that detects a difference; infinite where none does.

    More seeds lower the part of the variance that seeds have. That of the examples stays. NaN for
    one seed, and for no difference.
    """
    if not abs(difference) > 0.0 or spread.num_seeds < 2:
        return float("nan")
    if detectable(_of(spread, MOST_SEEDS)) > abs(difference):
        return float("inf")
    low, high = 1, MOST_SEEDS  # what `high` seeds detect is small enough
    while high - low > 1:
        middle = (low + high) // 2
        enough = detectable(_of(spread, middle)) <= abs(difference)
        low, high = (low, middle) if enough else (middle, high)
    return float(high)


def _of(spread: Spread, num_seeds: int) -> Spread:
    """The spread as it would be with other seeds."""
    scaled = spread.of_seeds * spread.num_seeds / num_seeds
    return replace(spread, of_seeds=scaled, num_seeds=num_seeds)
