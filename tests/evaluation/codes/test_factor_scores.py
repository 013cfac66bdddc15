"""Scores of single factors, of codes that they can be worked out for by hand."""

import math

import numpy as np
import pytest

from tests.support.factorial import GRID, NUM_BINS, NUM_TREES, N
from vaebench.evaluation.codes.factor_scores import Coded, _concentration, dci, mig, sap, top_gap

# ------------------------------------------------------------------ each score by hand


def of_four(*dimensions):
    """A factor of four values, even, and one of two that no dimension tells; codes [800, ...]."""
    values = np.arange(800) % 4
    factors = np.stack([values, np.arange(800) // 4 % 2], -1)
    return Coded(np.stack([d(values) for d in dimensions], -1).astype(float), factors)


def test_mig_is_the_gap_to_the_second_dimension():
    """Chen et al. 2018, eq. 6: (log 4 - log 2) / log 4, the second dimension tells one bit."""
    assert mig(of_four(lambda v: v, lambda v: v // 2), NUM_BINS) == pytest.approx([0.5, 0.0])
    assert mig(of_four(lambda v: v), NUM_BINS) == pytest.approx([1.0, 0.0])
    assert mig(of_four(lambda v: v, lambda v: -v), NUM_BINS) == pytest.approx([0.0, 0.0])
    assert mig(of_four(lambda v: v), 2) == pytest.approx([0.5, 0.0])


def test_sap_is_the_gap_of_adjusted_accuracies():
    """Half of the values are right of the second dimension: (1/2 - 1/4) / (1 - 1/4)."""
    coded = of_four(lambda v: v, lambda v: v // 2)
    assert sap(coded, coded) == pytest.approx([1.0 - 1.0 / 3.0, 0.0])


def test_sap_is_balanced_over_values():
    """20 rare values among 60 images that look like them: 20 of 20 and 440 of 480 are right."""
    rows = np.arange(500)
    factors = np.stack([rows < 20, rows % 2], -1).astype(int)
    coded = Coded((rows < 60).astype(float)[:, None], factors)
    assert sap(coded, coded) == pytest.approx([1.0 + 440 / 480 - 1.0, 0.0])


def test_sap_is_scored_on_the_test_part():
    train, test = of_four(lambda v: v), of_four(lambda v: 3 - v)
    assert sap(train, test) == pytest.approx([0.0, 0.0])


def test_top_gap():
    computed = top_gap(np.array([[0.9, 0.2, -0.1], [0.3, 0.7, -0.4], [0.5, -0.1, -0.2]]))
    assert computed == pytest.approx([0.4, 0.5, 0.0])
    assert top_gap(np.array([[0.6, -0.1]])) == pytest.approx([0.6, 0.0])


def test_concentration_is_1_less_the_entropy_of_a_row():
    computed = _concentration(np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0], [3.0, 1.0]]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert computed == pytest.approx([1.0, 0.0, 0.0, 1.0 - entropy])


@pytest.mark.parametrize("num", range(2, 40))
def test_concentration_of_even_weights_is_not_below_0(num):
    computed = _concentration(np.full((3, num), [[0.1], [1 / 3], [0.7]]))
    assert computed == pytest.approx(np.zeros(3), abs=1e-12)
    assert (computed >= 0.0).all()


def test_concentration_in_one_dimension_is_1_where_there_is_weight():
    assert _concentration(np.array([[0.3], [0.0]])).tolist() == [1.0, 0.0]


def test_one_dimension_of_two_factors_is_complete_but_not_disentangled():
    codes = np.stack([4 * GRID[:, 0] + GRID[:, 1], GRID[:, 2], np.zeros(N)], -1).astype(float)
    coded = Coded(codes, GRID)
    computed = dci(coded, coded, NUM_TREES, 0)
    assert computed.completeness == pytest.approx([1.0, 1.0, 1.0])
    assert computed.informativeness == pytest.approx([1.0, 1.0, 1.0])
    # Weight 2/3 on the dimension that two of three factors share evenly, 1/3 on the other.
    shared = 1.0 - math.log(2) / math.log(3)
    assert computed.disentanglement == pytest.approx(2 / 3 * shared + 1 / 3)


def test_one_factor_in_two_dimensions_is_disentangled_but_not_complete():
    high, low = GRID[:, 1] // 2, GRID[:, 1] % 2
    coded = Coded(np.stack([high, low, GRID[:, 0], GRID[:, 2]], -1).astype(float), GRID)
    computed = dci(coded, coded, NUM_TREES, 0)
    assert computed.disentanglement == pytest.approx(1.0, abs=1e-6)
    assert computed.completeness[[0, 2]] == pytest.approx([1.0, 1.0])
    assert computed.completeness[1] == pytest.approx(1.0 - math.log(2) / math.log(4), abs=0.05)
