"""The interquartile mean and its interval from resamples."""

import numpy as np
from scipy import stats

from vaebench.report.statistics.bootstrap import NUM_RESAMPLES, interquartile_mean


def test_interquartile_mean_leaves_out_a_quarter_at_each_end():
    values = np.array([-100.0, 1.0, 2.0, 3.0, 4.0, 1000.0, 2.0, 3.0])
    assert interquartile_mean([values]).mean == 2.5
    assert interquartile_mean([values[:5], values[5:]]).mean == 2.5


def test_runs_are_resampled_within_their_stratum():
    """Two strata without spread: every resample is the sample. As one stratum it is not."""
    low, high = np.zeros(4), np.ones(4)
    assert interquartile_mean([low, high])[:3] == (0.5, 0.5, 0.5)
    pooled = interquartile_mean([np.concatenate([low, high])])
    assert pooled.low < 0.25 < 0.75 < pooled.high
    assert np.isnan(interquartile_mean([np.array([1.0])]).low)


def test_bootstrap_interval_covers_many_runs():
    """The percentile interval at 30 runs of a normal: 95% to within 2% and 4 standard errors."""
    drawn = np.random.default_rng(0).normal(size=(300, 30))
    computed = [interquartile_mean([row]) for row in drawn]
    covered = np.mean([f.low <= 0 <= f.high for f in computed])
    assert abs(covered - 0.95) < 0.02 + 4 * (0.95 * 0.05 / 300) ** 0.5


def test_places_are_drawn_as_the_values_would_be():
    strata = [np.array([3.0, 1.0, 2.0, 2.0]), np.array([5.0, 4.0, 9.0])]
    generator = np.random.default_rng(0)
    drawn = [generator.choice(values, (NUM_RESAMPLES, len(values))) for values in strata]
    means = stats.trim_mean(np.concatenate(drawn, 1), 0.25, axis=1)
    interval = interquartile_mean(strata)
    ends = np.quantile(means, [0.025, 0.975])
    assert np.allclose([interval.low, interval.high], ends, rtol=1e-12)
