"""The densities made of gamma functions are those of scipy, and keep their digits in float32."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from vaebench.ops import densities, gamma_laws

X = torch.tensor([0, 1, 2, 3, 7, 8, 20, 100, 1000], dtype=torch.float64)
LOG_MEAN = torch.tensor([-5, -1, 0, 2, 4.6, 7], dtype=torch.float64)
LOG_SIZE = torch.tensor([-4, -1, 0.7, 3, 6], dtype=torch.float64)
GRID = torch.cartesian_prod(X, LOG_MEAN, LOG_SIZE)[..., None].unbind(-2)


def binomial(x, log_mean, log_size):
    """scipy's negative binomial, by number of failures and chance."""
    size, mean = log_size.exp().numpy(), log_mean.exp().numpy()
    return stats.nbinom.logpmf(x.numpy(), size, size / (size + mean))[..., 0]


def near(computed, expected, atol=1e-6):
    np.testing.assert_allclose(computed.numpy(), expected, rtol=1e-9, atol=atol)


def test_the_remainder_is_that_of_log_gamma():
    a = torch.logspace(-3, 6, 400, dtype=torch.float64)
    stirling = (a - 0.5) * a.log() - a + 0.5 * densities.LOG_2PI
    remainder = gamma_laws.stirling_remainder(a)
    near(remainder + stirling, special.gammaln(a.numpy()), 1e-9)


def test_poisson_is_that_of_scipy():
    x, log_mean, _ = GRID
    expected = stats.poisson.logpmf(x.numpy(), log_mean.exp().numpy())[..., 0]
    near(gamma_laws.poisson_log_prob(x, log_mean), expected)


def test_negative_binomial_is_that_of_scipy():
    near(gamma_laws.negative_binomial_log_prob(*GRID), binomial(*GRID))


@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.0])
def test_zero_inflation_is_a_mixture_with_zeros(logit):
    x, share = GRID[0], special.expit(logit)
    logits = torch.full_like(x, logit)
    with np.errstate(divide="ignore"):
        zeros = np.log(np.where(x.numpy()[..., 0] == 0, share, 0.0))
    expected = np.logaddexp(np.log(1.0 - share) + binomial(*GRID), zeros)
    near(gamma_laws.zero_inflated_log_prob(*GRID, logits), expected)


@pytest.mark.parametrize("df", [0.5, 2.0, 5.0, 30.0, 1e4])
def test_student_t_is_that_of_scipy(df):
    x = torch.linspace(-50, 50, 101, dtype=torch.float64)[:, None]
    loc, log_scale, freedom = torch.tensor([0.3, -1.0, df], dtype=torch.float64)
    computed = gamma_laws.student_t_log_prob(x, loc, log_scale, freedom)
    near(computed, stats.t.logpdf(x.numpy(), df, 0.3, np.exp(-1.0))[:, 0])


def test_the_limits_are_poisson_and_gauss():
    """A negative binomial of size r is off Poisson by about x^2 / r, t by about x^4 / df."""
    x, log_mean, _ = GRID
    far = torch.full_like(x, 20.0)
    computed = gamma_laws.negative_binomial_log_prob(x, log_mean, far)
    near(computed, gamma_laws.poisson_log_prob(x, log_mean).numpy(), 5e-3)
    y = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    loc, log_scale, df = (torch.tensor(v, dtype=torch.float64) for v in (0.3, 0.2, 1e9))
    gaussian = densities.gaussian_log_prob(y, loc, 2 * log_scale[None])
    near(gamma_laws.student_t_log_prob(y, loc, log_scale, df), gaussian.numpy())


@pytest.mark.parametrize("log_size", [None, -4.0, 2.0, 9.0, 20.0])
def test_float32_keeps_its_digits_where_gamma_functions_cancel(log_size):
    """At counts of thousands, where log Gamma(x + 1) alone is off by 0.004 in float32."""
    x, log_mean = torch.cartesian_prod(
        torch.tensor([3000.0, 8000.0, 16000.0]), torch.tensor([7.5, 8.0, 9.0, 9.7])
    )[..., None].unbind(-2)
    law, arguments = gamma_laws.poisson_log_prob, (x, log_mean)
    if log_size is not None:
        law = gamma_laws.negative_binomial_log_prob
        arguments = (*arguments, torch.full_like(x, log_size))
    exact = law(*(t.double() for t in arguments))
    torch.testing.assert_close(law(*arguments).double(), exact, rtol=3e-6, atol=2e-4)
