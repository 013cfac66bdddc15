"""Shared ranks, and mean ranks over blocks."""

import numpy as np
import pytest
from scipy import stats

from vaebench.report.statistics.ranks import leaders, mean_ranks


def test_a_group_goes_as_far_as_its_first_reaches():
    """Three in a chain, each like the next, the first unlike the last: two groups."""
    assert leaders(3, lambda i, j: abs(i - j) > 1) == [0, 0, 2]
    assert leaders(4, lambda i, j: True) == [0, 1, 2, 3]
    assert leaders(4, lambda i, j: False) == [0, 0, 0, 0]
    assert leaders(0, lambda i, j: True) == []


@pytest.mark.parametrize("num, known", [(3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_difference_is_demsars(num, known):
    """Demsar 2006, table 5a: q at 5%."""
    losses = np.random.default_rng(0).normal(size=(12, num))
    expected = known * (num * (num + 1) / (6 * 12)) ** 0.5
    assert mean_ranks(losses).critical_difference == pytest.approx(expected, rel=5e-4)


def test_mean_ranks_share_ties():
    losses = np.array([[1.0, 1.0, 2.0]] * 3 + [[3.0, 2.0, 1.0]] * 3)
    computed = mean_ranks(losses)
    np.testing.assert_allclose(computed.ranks, [2.25, 1.75, 2.0])
    assert computed.p == pytest.approx(stats.friedmanchisquare(*losses.T).pvalue)


def test_any_false_pair_by_nemenyi():
    """At most 5% of sets of blocks without a difference have a pair further apart."""
    generator, num = np.random.default_rng(0), 400
    computed = [mean_ranks(generator.normal(size=(12, 5))) for _ in range(num)]
    apart = np.mean([np.ptp(f.ranks) > f.critical_difference for f in computed])
    assert 0.01 < apart < 0.05 + 4 * (0.05 * 0.95 / num) ** 0.5


def test_too_few_blocks_or_variants_have_no_diagram():
    assert mean_ranks(np.zeros((5, 4))) is None
    assert mean_ranks(np.zeros((8, 2))) is None
    assert mean_ranks(np.zeros((8, 3))).p == 1.0


def test_what_is_not_compared_is_in_no_group():
    """Two sets of seeds: 0 and 2 against 1 and 3, and 4 with neither."""

    def compared(i, j):
        return i % 2 == j % 2 and 4 not in (i, j)

    assert leaders(5, lambda i, j: False, compared) == [0, 1, 0, 1, 4]
    assert leaders(5, lambda i, j: True, compared) == [0, 1, 2, 3, 4]
