"""Objectives of covariances against their formulas, by hand."""

import itertools

import pytest
import torch

from tests.support.by_hand import D, S, arbitrary_terms
from vaebench.objectives import OBJECTIVES


@pytest.fixture
def terms():
    return arbitrary_terms()


@pytest.mark.parametrize("name", ["dip_vae_i", "dip_vae_ii"])
def test_dip_vae(terms, name):
    loss = OBJECTIVES[name](terms, off_diagonal=3.0, diagonal=7.0)
    for s in range(S):
        covariance = torch.cov(terms.mu[s].T, correction=0)
        if name == "dip_vae_ii":
            covariance = covariance + torch.diag(terms.log_var[s].exp().mean(0))
        penalty = 0.0
        for i, j in itertools.product(range(D), repeat=2):
            weight, target = (7.0, 1.0) if i == j else (3.0, 0.0)
            penalty += weight * float(covariance[i, j] - target) ** 2
        torch.testing.assert_close(loss[s], terms.distortion[s] + terms.rate[s] + penalty)
