"""Objectives of the MMD against their formulas, by hand."""

import itertools
import math
import statistics

import pytest
import torch

from tests.support.by_hand import D, K, S, arbitrary_terms
from vaebench.objectives import OBJECTIVES


@pytest.fixture
def terms():
    return arbitrary_terms()


def mmd_by_hand(x, y, kernel):
    """Gretton et al. 2012, eq. 3, by loops over pairs of points."""

    def k(a, b):
        return kernel(sum((u - v) ** 2 for u, v in zip(a, b, strict=True)))

    within = [
        statistics.fmean(k(a, b) for a, b in itertools.permutations(points, 2)) for points in (x, y)
    ]
    return sum(within) - 2.0 * statistics.fmean(k(a, b) for a in x for b in y)


def mean_mmd(t, s, kernel):
    prior = t.prior_z[s].tolist()
    return statistics.fmean(mmd_by_hand(t.z[k, s].tolist(), prior, kernel) for k in range(K))


def test_info_vae(terms):
    loss = OBJECTIVES["info_vae"](terms, alpha=0.25, lam=8.0, width=0.7)
    for s in range(S):
        mmd = mean_mmd(terms, s, lambda squared: math.exp(-squared / (2 * 0.7**2 * D)))
        expected = terms.distortion[s] + 0.75 * terms.rate[s] + (0.25 + 8.0 - 1.0) * mmd
        torch.testing.assert_close(loss[s], expected)


def test_wae_mmd(terms):
    loss, c = OBJECTIVES["wae_mmd"](terms, lam=8.0, width=0.7), 2 * D * 0.7**2
    for s in range(S):
        mmd = mean_mmd(terms, s, lambda squared: c / (c + squared))
        torch.testing.assert_close(loss[s], terms.distortion[s] + 8.0 * mmd)


@pytest.mark.parametrize("name", ["info_vae", "wae_mmd"])
def test_the_width_of_the_kernel_counts(terms, name):
    narrow, wide = (OBJECTIVES[name](terms, width=width) for width in (0.5, 2.0))
    assert not torch.allclose(narrow, wide)
