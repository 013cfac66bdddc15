"""Intervals over seeds and examples: exact where an answer is known, simulated where not."""

import numpy as np
import pytest
from scipy import stats

from vaebench.report.statistics.crossed_design import (
    ALPHA,
    Spread,
    ends,
    over_seeds,
    over_seeds_and_examples,
    p_value,
    squared_quantile,
)

NUM = 6000
"""Simulated studies: 4 standard errors of a rate of 5% are 1.1%."""


def four_errors(rate, num=NUM):
    return 4 * (rate * (1 - rate) / num) ** 0.5


def tables(num_seeds, share, num=NUM, num_examples=40, seed=0):
    """Studies [num, S, N] without a difference; `share` of the variance is that of examples."""
    generator = np.random.default_rng(seed)
    a = ((1 - share) * num_seeds) ** 0.5 * generator.standard_normal((num, num_seeds, 1))
    b = (share * num_examples) ** 0.5 * generator.standard_normal((num, 1, num_examples))
    rest = generator.standard_normal((num, num_seeds, num_examples))
    return a + b + (0.05 * num_seeds * num_examples) ** 0.5 * rest


def test_variance_is_that_of_the_pigeonhole_bootstrap_without_its_bias():
    """Resampling rows and columns of a table has a known variance (Owen 2007, theorem 1): each part
    as it is in the sample. Drawn here, and put together from what the code takes for the parts."""
    d = tables(4, 0.5, num=1, num_examples=6)[0]
    S, N = d.shape
    generator = np.random.default_rng(1)
    rows = generator.integers(S, size=(100_000, S))
    columns = generator.integers(N, size=(100_000, N))
    means = d[rows[:, :, None], columns[:, None, :]].mean((1, 2))
    seeds, examples = d.mean(1) - d.mean(), d.mean(0) - d.mean()
    rest = d - d.mean() - seeds[:, None] - examples
    of_rest = (rest**2).sum() / ((S - 1) * (N - 1)) / (S * N)
    spread = over_seeds_and_examples(d)
    expected = spread.of_seeds * (S - 1) / S + (spread.of_examples + of_rest) * (N - 1) / N
    expected += of_rest * (S - 1) * (N - 1) / (S * N)
    variance = means.var()
    assert abs(variance - expected) < 4 * variance * (2 / 100_000) ** 0.5


def test_parts_of_the_variance_are_unbiased():
    share, num_seeds, num_examples = 0.4, 3, 40
    spread = over_seeds_and_examples(tables(num_seeds, share))
    error = spread.variance.std() / NUM**0.5
    assert abs(spread.variance.mean() - 1.05) < 4 * error
    assert abs(spread.of_examples.mean() - share) < 4 * spread.of_examples.std() / NUM**0.5
    assert spread.num_examples == num_examples


def test_seeds_alone_are_students_t():
    d = np.random.default_rng(0).normal(0.3, 1.0, (5, 7))
    known = stats.ttest_1samp(d, 0.0, axis=1)
    low, high = ends(over_seeds(d))
    interval = known.confidence_interval(0.95)
    np.testing.assert_allclose([low, high], [interval.low, interval.high])
    np.testing.assert_allclose(p_value(over_seeds(d)), known.pvalue, rtol=1e-9)


def test_equal_examples_leave_seeds_alone():
    """Where all examples say the same, looking at them changes nothing."""
    d = np.random.default_rng(0).normal(size=4)
    table = np.repeat(d[:, None], 30, 1)
    np.testing.assert_allclose(ends(over_seeds_and_examples(table)), ends(over_seeds(d)))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_covers_at_its_level(num_seeds, share):
    """95% to within 1%, and 4 standard errors of the simulation."""
    low, high = ends(over_seeds_and_examples(tables(num_seeds, share)))
    covered = ((low <= 0) & (high >= 0)).mean()
    assert abs(covered - 0.95) < 0.01 + four_errors(0.05)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_two_seeds_cover_at_least_at_their_level(share):
    """Too often rather than too seldom: one degree of freedom leaves no other choice."""
    low, high = ends(over_seeds_and_examples(tables(2, share)))
    assert ((low <= 0) & (high >= 0)).mean() > 0.95 - four_errors(0.05)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_p_values_hold_in_the_tail(num_seeds, share):
    """What Holm's correction reads; Satterthwaite's alone are several times too many there."""
    level = ALPHA / 10
    computed = (p_value(over_seeds_and_examples(tables(num_seeds, share))) <= level).mean()
    assert computed < level + four_errors(level)


def test_a_percentile_bootstrap_would_not_do():
    """Why it is not used: with three seeds it leaves the truth out several times as often."""
    generator = np.random.default_rng(2)
    d = generator.standard_normal((2000, 3))
    means = d[:, generator.integers(3, size=(1000, 3))].mean(-1)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert ((low <= 0) & (high >= 0)).mean() < 0.85


def test_intervals_are_nested_and_agree_with_p():
    spread = over_seeds_and_examples(tables(3, 0.3, num=200) + 2.0)
    levels = np.geomspace(1e-6, 0.99, 40)
    reach = np.array([squared_quantile(spread, level) for level in levels])
    assert (np.diff(reach, axis=0) < 0).all()
    low, high = ends(spread)
    assert (((low > 0) | (high < 0)) == (p_value(spread) < ALPHA)).all()
    assert 0 < (p_value(spread) < ALPHA).sum() < 200


def test_no_spread_at_all():
    assert p_value(over_seeds(np.zeros(4))) == pytest.approx(1.0)
    assert p_value(over_seeds(np.ones(4))) < 1e-12
    low, high = ends(over_seeds(np.ones(4)))
    assert (low, high) == (1.0, 1.0)


def test_one_seed_has_no_interval():
    spread = over_seeds_and_examples(np.random.default_rng(0).normal(size=(1, 50)))
    assert np.isnan([*ends(spread), p_value(spread)]).all()


def test_more_examples_than_seeds_can_use():
    """Degrees of freedom run from those of the seeds to those of the examples."""
    parts = [Spread(np.array(0.0), np.array(1 - s), np.array(s), 3, 101) for s in (0.0, 0.5, 1.0)]
    assert [round(float(part.degrees)) for part in parts] == [2, 8, 100]
