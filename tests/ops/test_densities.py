"""Densities and divergences against torch.distributions, integrals and identities; float64."""

import numpy as np
import pytest
import torch
from scipy import integrate
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Independent,
    Laplace,
    Normal,
    kl_divergence,
)

from vaebench.ops import densities
from vaebench.ops.noise import Noise

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


def test_log_mean_decay_joins_its_series_and_keeps_its_digits():
    points = [0.0, 1e-9, 1e-3, 0.1, 0.2, 0.2 + 1e-12, 0.5, 5.0, 700.0]
    t = torch.tensor(points, dtype=torch.float64)
    t.requires_grad_()
    expected = [
        np.log(integrate.quad(lambda u, v=v: np.exp(-u * v), 0, 1, epsabs=1e-14)[0])
        for v in t.tolist()
    ]
    computed = densities.log_mean_decay(t)
    close(computed, torch.tensor(expected).double(), 1e-13)
    (slope,) = torch.autograd.grad(computed.sum(), t)
    assert float(slope[0]) == -0.5
    assert float(slope[4]) == pytest.approx(float(slope[5]), abs=1e-11)


def test_continuous_bernoulli_is_that_of_torch_outside_its_series():
    logits = torch.tensor([-10.0, -3.0, -0.3, 0.3, 3.0, 10.0]).double().unsqueeze(-1)
    x = torch.linspace(0, 1, 5).double().view(5, 1, 1)
    law = ContinuousBernoulli(logits=logits)
    close(densities.continuous_bernoulli_log_prob(x, logits), law.log_prob(x)[..., 0])
    close(densities.continuous_bernoulli_mean(logits), law.mean)


def test_continuous_bernoulli_at_its_centre():
    """Where torch.distributions has no gradient: lambda = 1/2 is the uniform law."""
    logits = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    computed = densities.continuous_bernoulli_log_prob(torch.tensor([0.75]).double(), logits)
    assert computed.item() == 0.0
    computed.backward()
    assert logits.grad.item() == pytest.approx(0.25)
    assert densities.continuous_bernoulli_mean(logits).item() == 0.5


@pytest.mark.parametrize("logit", [1e-4, 0.19, 0.21, 4.0, 40.0, 1e4])
def test_continuous_bernoulli_mean_is_the_slope_of_its_constant(logit):
    for sign in (-1.0, 1.0):
        logits = torch.tensor([sign * logit], dtype=torch.float64, requires_grad=True)
        log_prob = densities.continuous_bernoulli_log_prob(torch.zeros(1).double(), logits)
        (slope,) = torch.autograd.grad(log_prob, logits)
        close(densities.continuous_bernoulli_mean(logits), -slope, 1e-12)


def test_laplace_and_beta_log_prob():
    x, loc, raw = random(K, S, B, D), random(S, B, D, seed=1), random(S, 1, 1, seed=2)
    expected = Independent(Laplace(loc, raw.exp().expand_as(loc)), 1).log_prob(x)
    close(densities.laplace_log_prob(x, loc, raw), expected)
    a, b = random(S, B, D, seed=3).exp(), random(S, B, D, seed=4).exp()
    close(
        densities.beta_log_prob(x.sigmoid(), a, b), Independent(Beta(a, b), 1).log_prob(x.sigmoid())
    )


def test_categorical_log_prob():
    logits = random(K, S, B, 6, D)
    value = torch.arange(S * B * D).view(S, B, D) % 6
    expected = Independent(Categorical(logits=logits.transpose(-1, -2)), 1).log_prob(value)
    close(densities.categorical_log_prob(value, logits), expected)


def test_levels():
    levels = torch.arange(256).float() / 255
    assert torch.equal(densities.nearest_level(levels), torch.arange(256).float())
    assert densities.on_levels(levels)
    assert densities.on_levels(torch.arange(256, dtype=torch.float64) / 255)
    for value in (0.5, -1 / 255, 256 / 255, np.nan):
        assert not densities.on_levels(torch.tensor([0.0, value]))


@pytest.mark.parametrize("log_scale", [-7.7, -3.0, 0.0, 4.0])
def test_discretised_logistic_keeps_its_digits_far_from_its_location(log_scale):
    """Far below loc, F(b) - F(a) is exp(b) (1 - exp(a - b)), up to a factor of 1 + exp(b)."""
    scale = np.exp(log_scale)
    x, loc = 100 / 255, 1.0 + 40 * scale
    arguments = (torch.tensor([v], dtype=torch.float64) for v in (x, loc, log_scale))
    computed = densities.discretised_logistic_log_prob(*arguments)
    upper, width = (x + 0.5 / 255 - loc) / scale, 1 / 255 / scale
    assert float(computed) == pytest.approx(upper + np.log(-np.expm1(-width)), rel=1e-12)


def test_discretised_logistic_masses_and_mean_over_the_levels():
    loc, log_scale = 0.5 * random(S, B, D) + 0.5, random(S, B, D, seed=1) - 2.0
    levels = (torch.arange(256).double() / 255).view(256, 1, 1, 1, 1)
    each = (v.unsqueeze(-1) for v in (loc, log_scale))  # one pixel a row
    p = densities.discretised_logistic_log_prob(levels, *each).exp()
    close(p.sum(0), torch.ones(S, B, D).double())
    expected = (levels.squeeze(-1) * p).sum(0)
    close(densities.discretised_logistic_mean(loc, log_scale), expected)


def test_a_mixture_of_one_and_of_equals_is_its_component():
    x = torch.randint(256, (S, B, D), generator=torch.Generator().manual_seed(0)).double() / 255
    loc, log_scale = random(K, S, B, D), random(K, S, B, D, seed=1)
    expected = densities.discretised_logistic_log_prob(x, loc, log_scale)
    for m in (1, 3):
        parts = (v.unsqueeze(-2).expand(K, S, B, m, D) for v in (loc, log_scale))
        logits = random(K, S, B, m, D, seed=2)
        close(densities.discretised_logistic_mixture_log_prob(x, logits, *parts), expected)
