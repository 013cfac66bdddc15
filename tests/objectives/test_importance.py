"""Objectives of the importance weights against their formulas, by hand."""

import itertools
import math
import statistics

import pytest
import torch

from tests.support.by_hand import B, K, S, arbitrary_terms, log_normal
from vaebench.core.errors import InputError
from vaebench.objectives import OBJECTIVES


@pytest.fixture
def terms():
    return arbitrary_terms()


def log_w_by_hand(t):
    """log p(x|z) + log p(z) - log q(z|x): [S][B][K]."""
    z, mu, log_var = t.z.tolist(), t.mu.tolist(), t.log_var.tolist()

    def log_w(k, s, b):
        prior = sum(log_normal(v, 0.0, 0.0) for v in z[k][s][b])
        posterior = sum(map(log_normal, z[k][s][b], mu[s][b], log_var[s][b]))
        return float(t.log_px_z[k, s, b]) + prior - posterior

    return [[[log_w(k, s, b) for k in range(K)] for b in range(B)] for s in range(S)]


def check(t, loss, by_hand):
    """The loss of every run and example, from its K log-weights."""
    expected = [[by_hand(row) for row in run] for run in log_w_by_hand(t)]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


def log_mean(values):
    return math.log(statistics.fmean(map(math.exp, values)))


def test_elbo_mc(terms):
    check(terms, OBJECTIVES["elbo_mc"](terms), lambda row: -statistics.fmean(row))


def test_iwae(terms):
    check(terms, OBJECTIVES["iwae"](terms), lambda row: -log_mean(row))


def test_miwae(terms):
    def by_hand(row):
        return -statistics.fmean(log_mean(row[i : i + 2]) for i in (0, 2))

    check(terms, OBJECTIVES["miwae"](terms, groups=2), by_hand)


def test_groups_that_do_not_divide_the_samples_are_refused(terms):
    with pytest.raises(InputError, match="groups must divide num_samples; got 3 groups of 4"):
        OBJECTIVES["miwae"](terms, groups=3)


def test_ciwae(terms):
    check(
        terms,
        OBJECTIVES["ciwae"](terms, beta=0.3),
        lambda row: -0.3 * statistics.fmean(row) - 0.7 * log_mean(row),
    )


@pytest.mark.parametrize("alpha", [0.5, -1.0, 2.0])
def test_renyi(terms, alpha):
    def by_hand(row):
        return -log_mean([(1 - alpha) * value for value in row]) / (1 - alpha)

    check(terms, OBJECTIVES["renyi"](terms, alpha=alpha), by_hand)


def test_renyi_is_smooth_where_its_formula_has_no_value(terms):
    """Around alpha = 1 the bound is the ELBO plus (1 - alpha) / 2 times the variance of log w."""
    slope = 0.5 * terms.log_w.var(0, correction=0)
    for step in (-2e-3, -5e-4, 0.0, 5e-4, 2e-3):
        loss = OBJECTIVES["renyi"](terms, alpha=1.0 + step)
        expected = OBJECTIVES["elbo_mc"](terms) + step * slope
        torch.testing.assert_close(loss, expected, rtol=0, atol=2e-3)
        assert step == 0 or not torch.allclose(loss, expected - step * slope, rtol=0, atol=2e-4)


def test_vr_max(terms):
    check(terms, OBJECTIVES["vr_max"](terms), lambda row: -max(row))


def test_cubo(terms):
    loss = OBJECTIVES["cubo"](terms, order=2.0)
    check(terms, loss, lambda row: -math.log(statistics.fmean(math.exp(2 * v) for v in row)) / 2)


def test_tvo(terms):
    logs = [math.log10(0.2) * (3 - i) / 3 for i in range(4)]
    points = [0.0, *(10**p for p in logs)]  # evenly spaced on a logarithmic scale, from beta_1 to 1

    def by_hand(row):
        total = 0.0
        for left, right in itertools.pairwise(points):
            weights = [math.exp(left * v) for v in row]
            mean = sum(w * v for w, v in zip(weights, row, strict=True)) / sum(weights)
            total += (right - left) * mean
        return -total

    check(terms, OBJECTIVES["tvo"](terms, partitions=4, beta_1=0.2), by_hand)


def test_tvo_lies_between_the_elbo_and_iwae_of_the_same_samples(terms):
    iwae, tvo, elbo = (OBJECTIVES[name](terms) for name in ("iwae", "tvo", "elbo_mc"))
    assert ((iwae < tvo) & (tvo < elbo)).all()


def test_jackknife_of_order_one(terms):
    """K L_K - (K - 1) times the mean of the bounds that leave one sample out."""

    def by_hand(row):
        left_out = [log_mean(row[:i] + row[i + 1 :]) for i in range(K)]
        return -(K * log_mean(row) - (K - 1) * statistics.fmean(left_out))

    check(terms, OBJECTIVES["jackknife"](terms, order=1), by_hand)


def test_jackknife_of_order_two(terms):
    """Schucany's coefficients solve for an estimate without 1/K and 1/K^2."""
    sizes = [K, K - 1, K - 2]
    system = torch.tensor([[n**-p for n in sizes] for p in range(3)], dtype=torch.float64)
    shares = torch.linalg.solve(system, torch.tensor([1.0, 0.0, 0.0]).double()).tolist()

    def by_hand(row):
        bounds = [
            statistics.fmean(map(log_mean, itertools.combinations(row, size))) for size in sizes
        ]
        return -sum(c * b for c, b in zip(shares, bounds, strict=True))

    check(terms, OBJECTIVES["jackknife"](terms, order=2), by_hand)


def test_low_variance_kl(terms):
    loss = OBJECTIVES["elbo_low_variance"](terms) - terms.distortion
    log_px_z = terms.log_px_z.permute(1, 2, 0).tolist()
    ratios = [
        [[w - p for w, p in zip(*row, strict=True)] for row in zip(*run, strict=True)]
        for run in zip(log_w_by_hand(terms), log_px_z, strict=True)
    ]
    expected = [
        [statistics.fmean(math.exp(r) - 1 - r for r in row) for row in run] for run in ratios
    ]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))
    assert (loss >= 0).all()
