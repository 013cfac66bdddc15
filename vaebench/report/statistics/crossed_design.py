"""The mean of a table of seeds x examples, where a new study would draw both anew: its interval.

Every seed sees the same examples (a crossed design): d[s, n] = mean + seed + example + rest. The
bootstrap that resamples seeds and examples (the pigeonhole bootstrap: Owen 2007, "The pigeonhole
bootstrap") has a variance in closed form for a full table, but counts the rest three times, and its
percentiles undercover badly: three seeds have ten resamples. So its variance is taken without that
bias, with quantiles of Student's t that allow for how few the seeds are. What they cover is
measured by `benchmarks/statistics/coverage.py`; like any t interval they cover less where what
seeds do to the difference is strongly skewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vaebench.report.statistics.intervals import CONFIDENCE

Array = NDArray[np.float64]

ALPHA = 1.0 - CONFIDENCE
LEAST_P = 1e-15
"""A p-value is at least this: smaller ones would rest on the far tail of a distribution."""
NUM_HALVINGS = 40


@dataclass(frozen=True)
class Spread:
    """Means of studies [...], with the two parts of their squared standard errors."""

    mean: Array  # [...]
    of_seeds: Array  # [...]; NaN for one seed
    of_examples: Array  # [...]; 0 where only seeds are seen
    num_seeds: int
    num_examples: int = 1

    @cached_property
    def variance(self) -> Array:
        """The squared standard error: [...]."""
        return self.of_seeds + self.of_examples

    @cached_property
    def share(self) -> Array:
        """The part of the variance that examples have, more seeds do not lower it: [...]."""
        none = np.zeros_like(self.variance)
        return np.divide(self.of_examples, self.variance, out=none, where=self.variance > 0.0)

    @property
    def degrees(self) -> Array:
        """Satterthwaite's degrees of freedom of the variance: [...]."""
        seeds = (1.0 - self.share) ** 2 / (self.num_seeds - 1)
        examples = self.share**2 / max(1, self.num_examples - 1)
        return 1.0 / (seeds + examples)


def over_seeds(d: Array) -> Spread:
    """The spread of a mean over seeds alone, d [..., S]."""
    return Spread(d.mean(-1), _variance_of_mean(d), np.zeros(d.shape[:-1]), d.shape[-1])


def over_seeds_and_examples(d: Array) -> Spread:
    """The spread of a mean over seeds and examples, d [..., S, N].

    The analysis of variance of two crossed random factors, without a negative part.
    """
    *_, num_seeds, num_examples = d.shape
    if num_seeds < 2 or num_examples < 2:
        return over_seeds(d.mean(-1))
    seeds, examples = d.mean(-1), d.mean(-2)  # [..., S], [..., N]
    mean = seeds.mean(-1)
    rest = d - seeds[..., None] - examples[..., None, :] + mean[..., None, None]
    degrees = (num_seeds - 1) * (num_examples - 1)
    of_rest = (rest**2).sum((-2, -1)) / (degrees * num_seeds * num_examples)
    of_examples = np.maximum(_variance_of_mean(examples) - of_rest, 0.0)
    return Spread(mean, _variance_of_mean(seeds), of_examples, num_seeds, num_examples)


def squared_quantile(spread: Spread, alpha: Array | float) -> Array:
    """How many squared standard errors the interval of level 1 - alpha reaches: [...].

    Two answers are known. Banerjee (1961, "On confidence interval for two-means problem based on
    separate estimates of variances and tabulated values of t-table") adds each part times its own
    squared t quantile: it covers at least at its level, whatever the parts. Satterthwaite's one
    t quantile covers at less where seeds are few and hold most of the variance. Their average with
    the examples' share r as Satterthwaite's weight covers 95% to within 1% from three seeds on;
    further out in the tail, where Satterthwaite fails more, its weight falls with alpha, so that
    p-values hold there too. Two seeds get Banerjee's alone.
    """
    from scipy import special

    half = np.asarray(alpha) / 2.0
    seeds = special.stdtrit(spread.num_seeds - 1, half) ** 2
    if spread.num_examples < 2:
        return np.asarray(seeds + 0.0 * spread.share)
    examples = special.stdtrit(spread.num_examples - 1, half) ** 2
    bound = (1.0 - spread.share) * seeds + spread.share * examples
    weight = spread.share * np.minimum(1.0, np.asarray(alpha) / ALPHA) * (spread.num_seeds > 2)
    return bound - weight * (bound - special.stdtrit(spread.degrees, half) ** 2)


def ends(spread: Spread, alpha: float = ALPHA) -> tuple[Array, Array]:
    """The interval of level 1 - alpha for the mean: low and high [...], NaN for one seed."""
    if spread.num_seeds < 2:
        none = np.full_like(spread.mean, np.nan)
        return none, none
    half = np.sqrt(squared_quantile(spread, alpha) * spread.variance)
    return spread.mean - half, spread.mean + half


def p_value(spread: Spread) -> Array:
    """The least alpha whose interval leaves 0 out: [...], NaN for one seed."""
    if spread.num_seeds < 2:
        return np.full_like(spread.mean, np.nan)
    squared = spread.mean**2
    low, high = np.full_like(squared, np.log(LEAST_P)), np.zeros_like(squared)
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2.0
        inside = squared <= squared_quantile(spread, np.exp(middle)) * spread.variance
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(np.isfinite(spread.variance), np.exp(high), np.nan)


def _variance_of_mean(values: Array) -> Array:
    """The squared standard error of means over the last axis; NaN for one value."""
    count = values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)
    return values.var(-1, ddof=1) / count
