"""Codes that tell nothing are marked where their scores do not show it."""

import numpy as np
import pytest
import torch

from tests.evaluation.codes.test_disentanglement import Linear, graded, known_factors
from tests.support.factorial import GRID
from vaebench.evaluation.codes.aggregate import _doubt
from vaebench.evaluation.codes.chance import ONE_ACTIVE, no_better_than_chance
from vaebench.evaluation.codes.factor_scores import Coded, mig
from vaebench.models.posteriors.gaussian import DiagonalGaussian

SUBSET = np.random.default_rng(1).permutation(GRID)[:150]
FEW = known_factors(train=SUBSET, test=SUBSET)
"""So few images that the estimates are mostly their bias."""


class Unrelated(Linear):
    """Codes that have nothing to do with the image, of which the first dimensions vary."""

    def __init__(self, num_dims, num_active):
        super().__init__(np.eye(3, num_dims))
        self.num_active, self.generator = num_active, torch.Generator().manual_seed(3)

    def posterior(self, x):
        shape = *x.shape[:2], self.weight.shape[-1]
        mu = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        mu[..., self.num_active :] = 0.0
        return DiagonalGaussian(mu, torch.zeros_like(mu))


@pytest.mark.parametrize(("num_dims", "num_active"), [(1, 1), (4, 1), (4, 2), (4, 4)])
def test_gaps_of_noise_are_marked(num_dims, num_active):
    computed = graded(Unrelated(num_dims, num_active), keys=(11,), data=FEW)
    for name in ("mig", "sap"):
        assert "beside factors in random order score 0" in computed[name].doubts[0], name
    assert computed["dci_informativeness"].doubts == ("",)
    marked = ONE_ACTIVE if num_active == 1 else ""
    assert computed["dci_completeness"].doubts == (marked,)


def test_one_active_dimension_of_noise_has_the_gap_of_the_bias():
    """What made it necessary: it is far above 0."""
    computed = graded(Unrelated(4, 1), keys=(11,), data=FEW)
    assert computed["mig"].values[0] > 0.1
    assert computed["dci_completeness"].values[0] == 1.0


def test_codes_that_tell_factors_are_not_marked():
    both = graded(Linear(np.eye(3), np.eye(3)[:, [2, 0, 1]]))
    assert all(grade.doubts == ("", "") for grade in both.values())


def test_a_dimension_that_tells_a_factor_is_not_marked_though_it_is_the_only_one():
    one = np.zeros((3, 3))
    one[0, 0] = 1.0
    computed = graded(Linear(one), keys=(11,))
    assert computed["mig"].doubts == computed["sap"].doubts == ("",)
    assert computed["dci_completeness"].doubts == (ONE_ACTIVE,)


def test_a_score_is_compared_with_that_of_unrelated_codes():
    """In hand: 2 N I of unrelated codes is chi-squared, of (bins - 1) (values - 1) degrees."""
    rng = np.random.default_rng(0)
    codes, factors = rng.uniform(size=(200, 1)), rng.integers(0, 4, size=(200, 3))
    coded = Coded(codes, factors)
    bias = 9 * 3 / (2 * 200) / np.log(4)
    doubt = no_better_than_chance(lambda _, t: mig(t, 10), coded, coded, 1.9 * bias, rng)
    score = float(doubt.split()[-1])
    assert score == pytest.approx(bias, rel=0.2)
    assert no_better_than_chance(lambda _, t: mig(t, 10), coded, coded, 2.5 * bias, rng) == ""


@pytest.mark.parametrize(
    ("mutual", "aggregate_kl", "words"),
    [
        (-0.01, 1.0, "the mutual information came out below 0"),
        (0.5, -0.01, "the aggregate KL came out below 0"),
        (4.9, 1.0, "near its ceiling"),
        (0.5, 1.0, ""),
    ],
)
def test_information_below_0_is_marked(mutual, aggregate_kl, words):
    doubt = _doubt(mutual, aggregate_kl, ceiling=5.0)
    assert words in doubt and bool(words) == bool(doubt)
