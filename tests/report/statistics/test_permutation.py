"""Sign-flip tests and Holm's correction."""

import itertools

import numpy as np
import pytest
from scipy import stats

from vaebench.report.statistics.crossed_design import over_seeds, p_value
from vaebench.report.statistics.permutation import MOST_EXACT, holm, least_p, sign_flip_p


def by_hand(d):
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((1, -1), repeat=len(d))]
    return np.mean([s >= abs(sum(d)) - 1e-12 for s in sums])


@pytest.mark.parametrize("num_seeds", [2, 3, 6, 9])
def test_every_pattern_of_signs(num_seeds):
    d = np.random.default_rng(num_seeds).normal(0.5, 1.0, (3, num_seeds))
    np.testing.assert_allclose(sign_flip_p(d), [by_hand(row) for row in d])


@pytest.mark.parametrize("num_seeds", [2, 5, 6])
def test_least_p_is_reached_where_all_signs_agree(num_seeds):
    assert sign_flip_p(np.arange(1.0, num_seeds + 1)) == least_p(num_seeds)
    assert (least_p(num_seeds) <= 0.05) == (num_seeds >= 6)


def test_ties_count_however_they_are_summed():
    """0.1 + 0.2 is not 0.3: without a tolerance the sums of equal patterns differ."""
    assert sign_flip_p(np.array([0.1, 0.2, -0.3, 0.1, 0.2, -0.3])) == 1.0


def test_random_patterns_are_near_scipys():
    """Two samples of patterns: their rates differ by less than 4 standard errors."""
    d = np.linspace(-1.0, 1.9, MOST_EXACT + 6)
    known = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    ).pvalue
    computed = float(sign_flip_p(d))
    assert 0.01 < computed < 0.1
    assert (
        abs(computed - known) < 4 * (computed * (1 - computed) * (1 / 10_000 + 1 / 20_000)) ** 0.5
    )


def test_false_positives_of_the_exact_test():
    """At most 5%, and the rate that the discrete levels allow: 50 of 1024 patterns at ten seeds."""
    num, expected = 8000, int(0.05 * 512) / 512
    p = sign_flip_p(np.random.default_rng(0).exponential(size=(num, 10, 2)) @ [1.0, -1.0])
    assert abs((p <= 0.05).mean() - expected) < 4 * (expected * (1 - expected) / num) ** 0.5


def test_holm_by_hand():
    """Holm 1979: the least times m, the next times m - 1 ..., never falling."""
    p = np.array([0.02, 0.01, 0.04, 0.03])
    np.testing.assert_allclose(holm(p), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])
    both = np.stack([p, p[::-1]])
    np.testing.assert_allclose(holm(both), [holm(p), holm(p)[::-1]])


def test_what_is_not_tested_is_not_in_the_family():
    p = np.array([0.02, np.nan, 0.04, np.nan])
    np.testing.assert_allclose(holm(p), [0.04, np.nan, 0.04, np.nan])


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_any_false_difference_among_all_pairs(num_seeds):
    """Seven variants without a difference, 21 pairs that share them: the rule of `compare`."""
    num = 3000
    values = np.random.default_rng(num_seeds).standard_normal((num, 7, num_seeds))
    a, b = np.array(list(itertools.combinations(range(7), 2))).T
    any_told = (holm(p_value(over_seeds(values[:, a] - values[:, b]))) <= 0.05).any(1).mean()
    error = (0.05 * 0.95 / num) ** 0.5
    assert 0.02 < any_told < 0.05 + 4 * error
