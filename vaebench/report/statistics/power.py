"""How large a paired difference is, and how large a one some seeds would detect."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vaebench.report.statistics.crossed_design import ALPHA, Array, Spread, squared_quantile

POWER = 0.8
MOST_SEEDS = 10_000
"""A difference that needs more seeds is out of reach."""

FEWEST_SEEDS = 3
"""Seeds below which an effect size is NaN."""


class EffectSize(NamedTuple):
    """Standardised differences with their 95% intervals [...]; NaN where there is none."""

    value: Array
    low: Array
    high: Array


def effect_size(d: Array) -> EffectSize:
    """Hedges' g of paired differences d [..., S]: their mean in standard deviations over seeds.

    The mean over the standard deviation, times Hedges' correction (1981, "Distribution theory for
    Glass's estimator of effect size", eq. 6e, exact) for its bias at few seeds. The interval is
    that of the noncentral t distribution (Cumming & Finch 2001), not corrected. NaN without spread,
    and below three seeds, where the correction is 0: the mean over the deviation of two has no
    expectation to correct.
    """
    from scipy import special

    count = d.shape[-1]
    if count < FEWEST_SEEDS:
        none = np.full(d.shape[:-1], np.nan)
        return EffectSize(none, none, none)
    deviation = np.std(d, axis=-1, ddof=1)
    deviation = np.where(deviation > 0.0, deviation, np.nan)
    degrees, root = count - 1, count**0.5
    logarithm = special.gammaln(degrees / 2) - special.gammaln((degrees - 1) / 2)
    correction = float(np.exp(logarithm)) * (2 / degrees) ** 0.5
    t = np.mean(d, axis=-1) / deviation * root
    low, high = (special.nctdtrinc(degrees, a, t) for a in (1 - ALPHA / 2, ALPHA / 2))
    return EffectSize(correction * t / root, low / root, high / root)


def detectable(spread: Spread) -> Array:
    """The smallest difference that a study of this spread detects with 80% power: [...].

    It detects where its own 95% interval leaves 0 out. From the noncentral t distribution with
    Satterthwaite's degrees of freedom, exact for seeds alone. The spread is the one seen: with few
    seeds it is itself uncertain. NaN for one seed.
    """
    if spread.num_seeds < 2:
        return np.full_like(spread.variance, np.nan)
    return _smallest(spread)


def seeds_to_detect(spread: Spread, difference: Array | float) -> Array:
    """The least number of seeds that detects a difference [...]; infinite where none does.

    More seeds lower the part of the variance that seeds have. That of the examples stays. NaN for
    one seed, and for no difference.
    """
    sought = np.abs(difference) + np.zeros_like(spread.variance)
    if spread.num_seeds < 2:
        return np.full_like(sought, np.nan)
    low, high = np.ones_like(sought), np.full_like(sought, MOST_SEEDS)
    while (high - low > 1).any():  # what `high` seeds detect is small enough, if anything is
        middle = np.maximum((low + high) // 2, 2)
        enough = _smallest(_of(spread, middle)) <= sought
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    most = np.full_like(sought, MOST_SEEDS)
    needed = np.where(_smallest(_of(spread, most)) > sought, np.inf, high)
    return np.where(sought > 0.0, needed, np.nan)


def _smallest(spread: Spread) -> Array:
    from scipy import special

    reach, degrees = np.sqrt(squared_quantile(spread, ALPHA)), spread.degrees
    both = np.stack(np.broadcast_arrays(degrees, reach), -1)
    # Studies of as many seeds share both where only seeds are seen, and the function takes long.
    distinct, places = np.unique(both.reshape(-1, 2), axis=0, return_inverse=True)
    shift = special.nctdtrinc(distinct[:, 0], 1 - POWER, distinct[:, 1])[places.reshape(-1)]
    return np.asarray(shift.reshape(both.shape[:-1]) * np.sqrt(spread.variance))


def _of(spread: Spread, num_seeds: Array) -> Spread:
    """The spread as it would be with other seeds [...], of which each study has its own number."""
    scaled = spread.of_seeds * spread.num_seeds / num_seeds
    return replace(spread, of_seeds=scaled, num_seeds=num_seeds)  # type: ignore[arg-type]
