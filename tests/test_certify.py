"""The linear-Gaussian VAE, and the ELBO identity on it: exact, in float64."""

import torch
from torch.distributions import MultivariateNormal

from vaebench import densities
from vaebench.certify import SIGMA, exact_log_px
from vaebench.noise import Noise, normals
from vaebench.terms import compute_terms

N = 6


def posterior(model, x):
    """p(z|x) by Bayes' rule for Gaussians: mean [N, D], covariance [D, D]."""
    weight, bias = model.decoder.weight[0], model.decoder.bias[0, 0]
    precision = torch.eye(len(weight)).double() + weight @ weight.T / SIGMA**2
    covariance = precision.inverse()
    return (x - bias) @ weight.T @ covariance / SIGMA**2, covariance


def data(model):
    return normals(Noise((3,)), 1, N, model.decoder.weight.shape[-1])[0, 0].double()


def test_true_posterior_is_the_posterior(true_posterior):
    x = data(true_posterior)
    mean, covariance = posterior(true_posterior, x)
    mu, log_var = true_posterior.encode(x[None])
    torch.testing.assert_close(mu[0], mean)
    torch.testing.assert_close(log_var[0, 0].exp().diag(), covariance)


def test_the_elbo_identity(wrong_posterior):
    """log p(x) - KL[q(z|x) || p(z|x)] = E_q[log p(x|z)] - KL[q(z|x) || p(z)]."""
    model, x = wrong_posterior, data(wrong_posterior)
    mean, covariance = posterior(model, x)
    mu, log_var = (t[0] for t in model.encode(x[None]))
    kl_to_posterior = densities.gaussian_kl_between(
        mu, log_var, mean, covariance.diag().log().expand_as(mu)
    )
    left = exact_log_px(model, x) - kl_to_posterior

    # E_q of a Gaussian log-density: its value at the mean, and the variance that z adds to it.
    weight = model.decoder.weight[0]
    spread = (log_var.exp() * weight.square().sum(-1)).sum(-1) / (2 * SIGMA**2)
    at_mean = model.log_px_z(x[None], mu[None, None])[0, 0]
    right = at_mean - spread - densities.gaussian_kl(mu, log_var)

    torch.testing.assert_close(left, right, rtol=0, atol=1e-8)
    assert (kl_to_posterior > 0.1).all()


def test_bayes_rule_sample_by_sample(true_posterior):
    """log p(x|z) + log p(z) - log p(z|x) = log p(x), whatever z."""
    x = data(true_posterior)
    terms = compute_terms(true_posterior, x[None], Noise((4,)), num_samples=3)
    expected = exact_log_px(true_posterior, x).expand(3, 1, N)
    torch.testing.assert_close(terms.log_w, expected, rtol=0, atol=1e-8)


def test_exact_log_px_is_the_marginal(true_posterior):
    x = data(true_posterior)
    weight, bias = true_posterior.decoder.weight[0], true_posterior.decoder.bias[0, 0]
    covariance = weight.T @ weight + SIGMA**2 * torch.eye(weight.shape[1]).double()
    expected = MultivariateNormal(bias, covariance).log_prob(x)
    torch.testing.assert_close(exact_log_px(true_posterior, x), expected)
