"""The interquartile mean over runs of several data sets, with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.report.statistics.crossed_design import ALPHA
from vaebench.report.statistics.intervals import Interval

Array = NDArray[np.float64]
NUM_RESAMPLES = 2000


def interquartile_mean(strata: Sequence[Array]) -> Interval:
    """The mean of the middle half of all values, with a stratified bootstrap interval.

    Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
    section 4.3: values of all strata [S] are pooled, runs are resampled within their stratum, and
    the interval is that of percentiles. With few runs it is too narrow: no test rests on it.
    NaN ends for fewer than two values in every stratum.
    """
    ordered = np.sort(np.concatenate(strata))
    mean = float(_middle(ordered).mean())
    if max(len(values) for values in strata) < 2:
        return Interval(mean, float("nan"), float("nan"), len(ordered))
    generator = np.random.default_rng(0)
    drawn = [
        generator.choice(places, (NUM_RESAMPLES, len(places)))
        for places in _places(strata, ordered)
    ]
    places = np.sort(np.concatenate(drawn, 1), axis=-1)
    means = ordered[_middle(places)].mean(-1)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(mean, float(low), float(high), len(ordered))


def _places(strata: Sequence[Array], ordered: Array) -> list[NDArray[Any]]:
    """The place of each value [S] among all: a small whole number, which is drawn and sorted faster
    than the value and takes a quarter of the memory."""
    small = np.min_scalar_type(len(ordered))
    return [np.searchsorted(ordered, values).astype(small) for values in strata]


def _middle(ordered: NDArray[Any]) -> NDArray[Any]:
    """The middle half [..., M] of what is sorted [..., N]. Its mean is `scipy.stats.trim_mean` of a
    quarter."""
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut]
