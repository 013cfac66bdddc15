"""Intervals over seeds."""

import numpy as np
import pytest
from scipy import stats

from vaebench.report.statistics.intervals import mean_interval, mean_intervals


def test_interval_is_students():
    values = [1.0, 2.0, 4.0, 7.0]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert (interval.mean, interval.num) == (3.5, 4)
    assert np.isnan(mean_interval([1.0]).low)


def test_interval_covers_at_its_rate():
    draws = np.random.default_rng(0).normal(size=(4000, 5))
    intervals = [mean_interval(row) for row in draws]
    covered = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert abs(covered - 0.95) < 4.5 * (0.95 * 0.05 / 4000) ** 0.5


@pytest.mark.parametrize("num", [1, 2, 7, 100])
def test_many_intervals_at_once_are_those_of_each_to_the_last_bit(num):
    values = np.random.default_rng(0).normal(1e3, 1.0, (9, num))
    each = np.array([mean_interval(line)[:3] for line in values])
    assert np.array_equal(mean_intervals(values).T, each, equal_nan=True)
