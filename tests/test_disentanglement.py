"""Disentanglement scores: 1 of a perfect code, chance of noise, and between them an order."""

import math

import numpy as np
import pytest
from factorial import DRAWS, ENTANGLED, GRID, NUM_BINS, NUM_TREES, VALUES, F, N, standardised

from vaebench.data import load
from vaebench.evaluation.codes.factor_scores import Coded, dci, mig, sap
from vaebench.evaluation.codes.fixed_factor import beta_vae_score, factor_vae_score


def noise(seed, num_dims=4):
    """Codes of train and test that have nothing to do with the images."""
    codes = np.random.default_rng(seed).normal(size=(2, N, num_dims))
    return [Coded(c, GRID) for c in codes]


def scores(train, test, seed=1):
    """Every score by name, those of factors averaged."""
    found = dci(train, test, NUM_TREES, seed)
    rng = np.random.default_rng
    return {
        "mig": mig(test, NUM_BINS).mean(),
        "sap": sap(train, test).mean(),
        "disentanglement": found.disentanglement,
        "completeness": found.completeness.mean(),
        "informativeness": found.informativeness.mean(),
        "factor_vae": factor_vae_score(train, test, rng(seed), **DRAWS),
        "beta_vae": beta_vae_score(train, test, rng(seed), **DRAWS),
    }


def same(codes):
    """The same code for both parts."""
    return scores(Coded(codes, GRID), Coded(codes, GRID))


PERFECT = {
    "as it is": GRID.astype(float),
    "permuted and scaled": GRID[:, [2, 0, 1]] * np.array([-3.0, 0.02, 700.0]) + 5.0,
    "among dead dimensions": np.hstack([np.zeros((N, 2)), GRID, np.full((N, 1), 0.1)]),
    "monotone": np.exp(GRID / 2.0),
}


@pytest.mark.parametrize("kind", PERFECT)
def test_a_perfect_code_scores_1(kind):
    """Exactly, as every combination is there equally often."""
    for name, score in same(PERFECT[kind]).items():
        assert score == pytest.approx(1.0, abs=1e-9), name


def test_on_a_random_part_only_the_gap_of_information_falls_short():
    """Of N images, a dimension has about (v - 1)(v' - 1) / 2N nats of another factor by chance."""
    data = load("shapes", "none")
    train, test = (part.factors.numpy() for part in (data.train, data.test))
    perfect = [Coded(factors.astype(float), factors) for factors in (train, test)]
    found = scores(*perfect)
    assert all(found[n] == pytest.approx(1.0, abs=1e-9) for n in found if n != "mig")
    by_chance = 7 * 7 / (2 * len(test)) / math.log(8)
    assert 0.0 < 1.0 - found["mig"] < 2.0 * by_chance < 0.04


def test_codes_of_noise_score_what_guessing_does():
    """Over ten codes, and each bound derived where the score is defined."""
    found = [scores(*noise(seed), seed) for seed in range(10)]
    means = {name: np.array([f[name] for f in found]) for name in found[0]}
    for name in ("factor_vae", "beta_vae"):
        error = means[name].std(ddof=1) / 10**0.5
        assert error < 0.03
        assert abs(means[name].mean() - 1 / F) < 4.5 * error, name
    guessing = np.mean([1 / v for v in VALUES])
    error = (sum(1 / v * (1 - 1 / v) for v in VALUES) / F**2 / (10 * N)) ** 0.5
    assert abs(means["informativeness"].mean() - guessing) < 4.5 * error
    # The gap of the largest two of 4 is below 2 standard deviations of one of them, on average.
    spread = [((NUM_BINS - 1) * (v - 1) / 2) ** 0.5 / N / math.log(v) for v in VALUES]
    assert 0.0 < means["mig"].mean() < 2.0 * np.mean(spread) < 0.02
    spread = [(N * (v - 1)) ** -0.5 for v in VALUES]
    assert 0.0 < means["sap"].mean() < 2.0 * np.mean(spread) < 0.06
    assert 0.0 < means["disentanglement"].mean() < 0.02
    assert 0.0 < means["completeness"].mean() < 0.02


def test_a_code_that_says_nothing_scores_what_guessing_does():
    found = same(np.zeros((N, 4)))
    assert found["factor_vae"] == found["beta_vae"] == pytest.approx(1 / F)
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert found[name] == 0.0
    assert found["informativeness"] == pytest.approx(np.mean([1 / v for v in VALUES]))


def test_entangled_codes_score_lower_but_tell_as_much():
    """But for beta-VAE's, which a linear map may undo, as Kim & Mnih 2018 say."""
    found = same(standardised() @ ENTANGLED)
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert found[name] < 0.75, name
    assert found["factor_vae"] < 0.9
    assert found["informativeness"] > 0.95


def test_scores_fall_with_the_angle_of_a_rotation():
    """With noise on the codes: else the few values of a turned grid tell both factors at once."""
    found, noisy = [], standardised() + 0.3 * np.random.default_rng(0).normal(size=GRID.shape)
    for degrees in (0, 15, 45):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        found.append(same(noisy @ turn))
    for name in ("mig", "sap", "disentanglement", "completeness"):
        none, little, much = (f[name] for f in found)
        assert none > little + 0.05 > much + 0.1, name


def test_order_scale_and_sign_of_dimensions_do_not_matter():
    """Codes with noise on them. Scales are powers of 2, so that digits are the same."""
    rng = np.random.default_rng(3)
    train, test = (standardised() + 0.5 * rng.normal(size=(N, F)) for _ in range(2))
    order, scale = [2, 0, 1], np.array([-4.0, 0.25, 1024.0])
    before = scores(Coded(train, GRID), Coded(test, GRID))
    after = scores(Coded((train * scale)[:, order], GRID), Coded((test * scale)[:, order], GRID))
    for name in ("mig", "sap", "factor_vae"):
        assert after[name] == pytest.approx(before[name], abs=1e-12), name
    for name in before:  # which of two equal splits a tree takes depends on the order
        assert after[name] == pytest.approx(before[name], abs=0.02), name
    assert all(0.2 < before[n] < 0.95 for n in ("mig", "sap", "disentanglement", "informativeness"))
