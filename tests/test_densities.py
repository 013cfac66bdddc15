"""Densities and divergences against torch.distributions, integrals and identities; float64."""

import numpy as np
import pytest
import torch
from scipy import integrate
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from vaebench import densities
from vaebench.noise import Noise

K, S, B, D = 5, 3, 4, 7


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def diagonal(mu, log_var):
    return Independent(Normal(mu, (0.5 * log_var).exp()), 1)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_gaussian_log_prob_has_its_constants():
    z, mu, log_var = random(K, S, B, D), random(S, B, D, seed=1), random(S, B, D, seed=2)
    close(densities.gaussian_log_prob(z, mu, log_var), diagonal(mu, log_var).log_prob(z))


def test_one_log_var_counts_for_every_dimension():
    z, mu, log_var = random(K, S, B, D), random(S, B, D, seed=1), random(S, 1, 1, seed=2)
    expected = diagonal(mu, log_var.expand(S, B, D)).log_prob(z)
    close(densities.gaussian_log_prob(z, mu, log_var), expected)


def test_standard_normal_log_prob():
    z = random(K, S, B, D)
    zero = torch.zeros(D, dtype=torch.float64)
    close(densities.standard_normal_log_prob(z), diagonal(zero, zero).log_prob(z))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_bernoulli_log_prob(scale):
    logits = scale * random(K, S, B, D)
    x = (random(S, B, D, seed=1) > 0).double()
    expected = Independent(Bernoulli(logits=logits), 1).log_prob(x.expand_as(logits))
    close(densities.bernoulli_log_prob(x, logits), expected)


def test_gaussian_kl_is_that_of_torch_and_of_the_integral():
    mu, log_var = random(S, B, D), random(S, B, D, seed=1)
    zero = torch.zeros_like(mu)
    close(
        densities.gaussian_kl(mu, log_var),
        kl_divergence(diagonal(mu, log_var), diagonal(zero, zero)),
    )

    m, v = (torch.tensor([a], dtype=torch.float64) for a in (0.7, -0.9))

    def integrand(z):
        z = torch.tensor([z], dtype=torch.float64)
        log_q, log_p = densities.gaussian_log_prob(z, m, v), densities.standard_normal_log_prob(z)
        return float(log_q.exp() * (log_q - log_p))

    integral, _ = integrate.quad(integrand, -12, 12, epsabs=1e-12)
    assert integral == pytest.approx(float(densities.gaussian_kl(m, v)), abs=1e-9)


def test_kl_properties_for_gaussians():
    mu, log_var, mu_p, log_var_p = (random(S, B, D, seed=i) for i in range(4))
    forward = densities.gaussian_kl_between(mu, log_var, mu_p, log_var_p)
    backward = densities.gaussian_kl_between(mu_p, log_var_p, mu, log_var)
    close(forward, kl_divergence(diagonal(mu, log_var), diagonal(mu_p, log_var_p)))
    assert (forward > 0).all()
    assert ((forward - backward).abs() > 1e-3).all()
    close(densities.gaussian_kl_between(mu, log_var, mu, log_var), torch.zeros(S, B).double())

    entropy = diagonal(mu, log_var).entropy()
    cross_entropy = -densities.gaussian_log_prob(mu, mu_p, log_var_p) + 0.5 * (
        log_var - log_var_p
    ).exp().sum(-1)  # E_q of a quadratic: its value at the mean plus the traces' ratio
    close(forward, cross_entropy - entropy)


def test_kl_properties_for_discrete_distributions():
    log_p, log_q = (random(B, 6, seed=i).log_softmax(-1) for i in range(2))
    forward = densities.categorical_kl(log_p, log_q)
    close(forward, kl_divergence(Categorical(logits=log_p), Categorical(logits=log_q)))
    assert (forward > 0).all()
    assert ((forward - densities.categorical_kl(log_q, log_p)).abs() > 1e-4).all()
    close(densities.categorical_kl(log_p, log_p), torch.zeros(B).double())
    cross_entropy = -(log_p.exp() * log_q).sum(-1)
    close(forward, cross_entropy - Categorical(logits=log_p).entropy())


def test_categorical_kl_of_a_value_that_p_never_takes():
    log_p = torch.tensor([0.0, -torch.inf], dtype=torch.float64)
    log_q = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    close(densities.categorical_kl(log_p, log_q), -log_q[0])


def test_log_mean_exp_survives_large_values():
    log_w = torch.tensor([[1000.0], [1000.0 + np.log(3.0)]], dtype=torch.float64)
    close(densities.log_mean_exp(log_w), torch.tensor([1000.0 + np.log(2.0)], dtype=torch.float64))


def test_reparameterise_kl_draws_from_q():
    mu, log_var = random(1, 1, D), random(1, 1, D, seed=1)
    num_samples = 40_000
    z, kl = densities.reparameterise_kl(mu, log_var, Noise((7,)), num_samples)
    assert z.shape == (num_samples, 1, 1, D)
    close(kl, densities.gaussian_kl(mu, log_var))
    error = (0.5 * log_var).exp() / num_samples**0.5
    assert ((z.mean(0) - mu).abs() < 4.5 * error).all()
    # The standard error of a log standard deviation is 1 / sqrt(2n).
    log_ratio = z.std(0).log() - 0.5 * log_var
    assert (log_ratio.abs() < 4.5 / (2 * num_samples) ** 0.5).all()
