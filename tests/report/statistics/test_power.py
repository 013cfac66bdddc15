"""Effect sizes, and what a number of seeds would detect."""

import numpy as np
import pytest
from scipy import stats

from vaebench.report.statistics.crossed_design import (
    Spread,
    ends,
    over_seeds,
    over_seeds_and_examples,
)
from vaebench.report.statistics.power import detectable, effect_size, seeds_to_detect

NUM = 10_000
POWER_ERROR = 4 * (0.8 * 0.2 / NUM) ** 0.5


def spread(of_seeds, of_examples, num_seeds, num_examples=200):
    return Spread(np.array(0.0), np.array(of_seeds), np.array(of_examples), num_seeds, num_examples)


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_detects_in_four_of_five_studies(num_seeds):
    """Seeds alone, with a standard deviation of 1: exact but for 4 standard errors."""
    smallest = detectable(spread(1 / num_seeds, 0.0, num_seeds, 1))
    drawn = smallest + np.random.default_rng(0).standard_normal((NUM, num_seeds))
    low, high = ends(over_seeds(drawn))
    assert abs(((low > 0) | (high < 0)).mean() - 0.8) < POWER_ERROR


def test_detects_in_about_as_many_with_examples():
    """Satterthwaite's degrees of freedom are an approximation: to within 4% here."""
    generator = np.random.default_rng(0)
    a = 3**0.5 * generator.standard_normal((2000, 3, 1))
    b = 30**0.5 * generator.standard_normal((2000, 1, 30))
    smallest = detectable(spread(1.0, 1.0, 3, 30))
    low, high = ends(over_seeds_and_examples(smallest + a + b))
    assert abs(((low > 0) | (high < 0)).mean() - 0.8) < 0.04 + 4 * (0.16 / 2000) ** 0.5


def test_seeds_needed_are_the_least_that_detect():
    seen = spread(1 / 4, 0.0, 4, 1)  # a standard deviation of 1
    needed = seeds_to_detect(seen, 0.5)
    assert detectable(spread(1 / needed, 0.0, int(needed), 1)) <= 0.5
    assert detectable(spread(1 / (needed - 1), 0.0, int(needed) - 1, 1)) > 0.5
    assert needed == 34  # any table of sample sizes: d = 0.5, power 80%, paired, two-sided


def test_more_seeds_do_not_make_up_for_few_examples():
    seen = spread(1.0, 1.0, 5)
    assert seeds_to_detect(seen, 2.0) == float("inf")
    assert 5 < seeds_to_detect(seen, 3.5) < 100


def test_no_difference_needs_no_seeds_and_one_seed_says_nothing():
    assert np.isnan(seeds_to_detect(spread(1.0, 0.0, 5), 0.0))
    one = over_seeds(np.array([1.0]))
    assert np.isnan([detectable(one), seeds_to_detect(one, 1.0)]).all()


def test_effect_size_by_hand():
    """Two degrees of freedom: Hedges' correction is Gamma(1) / Gamma(1/2) = 1 / sqrt(pi)."""
    d = np.array([1.0, 2.0, 3.0])
    computed = effect_size(d)
    assert computed.value == pytest.approx(2.0 / np.pi**0.5)
    t = 2.0 / (1.0 / 3**0.5)
    assert stats.nct.sf(t, 2, computed.low * 3**0.5) == pytest.approx(0.025, rel=1e-4)
    assert stats.nct.cdf(t, 2, computed.high * 3**0.5) == pytest.approx(0.025, rel=1e-4)


def test_effect_size_is_unbiased_and_its_interval_covers():
    truth, num = 0.7, 4000
    drawn = np.random.default_rng(0).normal(truth, 1.0, (num, 5))
    computed = np.array([effect_size(row) for row in drawn])
    assert abs(computed[:, 0].mean() - truth) < 4 * computed[:, 0].std() / num**0.5
    covered = ((computed[:, 1] <= truth) & (truth <= computed[:, 2])).mean()
    assert abs(covered - 0.95) < 4 * (0.95 * 0.05 / num) ** 0.5


@pytest.mark.parametrize("d", [[1.0], [1.0, 2.0], [1.0, 1.0, 1.0]])
def test_no_effect_size_without_spread_or_below_three_seeds(d):
    assert np.isnan(effect_size(np.array(d))).all()
