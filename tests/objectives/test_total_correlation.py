"""Objectives of the total correlation against their formulas, by hand."""

import itertools
import math
import statistics

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.by_hand import B, D, K, N, S, arbitrary_terms, log_normal, numbers
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, total_correlation


@pytest.fixture
def terms():
    return arbitrary_terms()


TC = ("beta_tc", "beta_tc_stratified")


@pytest.mark.parametrize("name", TC)
def test_with_even_weights_total_correlation_adds_nothing(terms, name):
    loss = OBJECTIVES[name](terms, alpha=1.0, beta=1.0, gamma=1.0)
    torch.testing.assert_close(loss, OBJECTIVES["elbo_mc"](terms))


def weight_by_hand(name, i, j):
    """The weight of example j for the code of i, as Chen et al. 2018 give it in appendix C."""
    if name == "beta_tc":
        return 1.0 / (N * B)
    if i == j:
        return 1.0 / N
    others = B - 1
    return (N - others) / (N * others) if j == (i - 1) % B else 1.0 / others


@pytest.mark.parametrize("name", TC)
def test_the_three_parts_of_the_rate(terms, name):
    z, mu, log_var = terms.z.tolist(), terms.mu.tolist(), terms.log_var.tolist()
    alpha, beta, gamma = 2.0, 5.0, 3.0
    expected = (-terms.log_px_z.mean(0)).tolist()
    for s, i in itertools.product(range(S), range(B)):
        rates = []
        for k in range(K):
            weights = [weight_by_hand(name, i, j) for j in range(B)]
            log_q = [list(map(log_normal, z[k][s][i], mu[s][j], log_var[s][j])) for j in range(B)]
            pairs = list(zip(weights, log_q, strict=True))
            joint = math.log(sum(w * math.exp(sum(parts)) for w, parts in pairs))
            marginals = sum(
                math.log(sum(w * math.exp(parts[d]) for w, parts in pairs)) for d in range(D)
            )
            prior = sum(log_normal(v, 0.0, 0.0) for v in z[k][s][i])
            parts = sum(log_q[i]) - joint, joint - marginals, marginals - prior
            rates.append(alpha * parts[0] + beta * parts[1] + gamma * parts[2])
        expected[s][i] += statistics.fmean(rates)
    loss = OBJECTIVES[name](terms, alpha=alpha, beta=beta, gamma=gamma)
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("num_examples", [B, B + 1, 10 * B])
def test_stratified_weights_sum_to_one_over_the_examples(num_examples):
    q = DiagonalGaussian(numbers(0, 1, B, D), numbers(1, 1, B, D))
    t = Terms(q, q.mu[None], numbers(2, 1, 1, B), num_examples=num_examples)
    total = total_correlation._stratified(t).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(B, dtype=torch.float64))


def test_the_stratified_estimate_of_the_aggregate_posterior_is_unbiased():
    """Over all minibatches of 3 that the first example of 6 can be in, with its own code."""
    num, rows = 6, 3
    mu, log_var = numbers(0, 1, num, D), 0.3 * numbers(1, 1, num, D)
    code = numbers(2, D)
    density = DiagonalGaussian(mu, log_var).log_prob(code.expand(1, 1, num, D)).exp().mean()
    estimates = []
    for others in itertools.permutations(range(1, num), rows - 1):
        batch = [0, *others]
        q = DiagonalGaussian(mu[:, batch], log_var[:, batch])
        z = code.expand(1, 1, rows, D)
        t = Terms(q, z, numbers(3, 1, 1, rows), num_examples=num)
        log_qz = torch.logsumexp(t.pairwise_log_q.sum(-1) + total_correlation._stratified(t), -1)
        estimates.append(float(log_qz[0, 0, 0].exp()))
    assert statistics.fmean(estimates) == pytest.approx(float(density))


def test_minibatch_weights_are_off_by_log_n_for_the_whole_training_part(terms):
    """Each log q(z) is then too low by log N: so the three parts are moved by constants."""
    whole = Terms(terms.q, terms.z, terms.log_px_z, num_examples=B)
    weights = torch.full((B, B), -math.log(B), dtype=torch.float64)
    exact = total_correlation._decomposed(whole, weights, 2.0, 5.0, 3.0)
    loss = OBJECTIVES["beta_tc"](whole, alpha=2.0, beta=5.0, gamma=3.0)
    moved = (2.0 + (D - 1) * 5.0 - D * 3.0) * math.log(B)
    torch.testing.assert_close(loss, exact + moved)


# ------------------------------------------------------------------ the discriminator


class LogOdds(nn.Module):
    """Known log-odds of a code: a sum of squares."""

    def forward(self, z):
        return z.square().sum(-1, keepdim=True)


def test_factor_vae_adds_the_mean_log_odds(terms):
    t = Terms(terms.q, terms.z, terms.log_px_z, auxiliary=LogOdds())
    expected = terms.distortion + terms.rate + 4.0 * terms.z.square().sum(-1).mean(0)
    torch.testing.assert_close(OBJECTIVES["factor_vae"](t, gamma=4.0), expected)


def test_the_discriminator_is_trained_to_tell_codes_from_shuffled_ones(terms):
    """Codes of one half against those of the other, each dimension in an order of its own."""
    t = Terms(terms.q, terms.z, terms.log_px_z, noise=terms.noise, auxiliary=LogOdds())
    loss = OBJECTIVES["factor_vae"].auxiliary.loss(t)
    half = B // 2
    codes, others = terms.z[0, :, :half], terms.z[0, :, half : 2 * half]
    for s in range(S):
        real = F.softplus(-codes[s].square().sum(-1)).sum()
        orders = itertools.product(itertools.permutations(range(half)), repeat=D)
        possible = [
            0.5 * (real + F.softplus(sum(others[s, order[d], d] ** 2 for d in range(D))).sum())
            for order in ([torch.tensor(o) for o in each] for each in orders)
        ]
        assert any(loss[s].sum().isclose(total) for total in possible)
