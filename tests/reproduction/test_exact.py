"""PCA against the density that it is."""

import torch

from vaebench.reproduction.exact import held_out_pca


def test_held_out_pca_is_a_gaussian_of_the_training_part():
    """Against torch.distributions with the covariance W W' + s2 I built in full."""
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(50, 5, generator=generator, dtype=torch.float64) * torch.arange(1.0, 6.0)
    test = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.cov(train.T, correction=0))
    noise = values[:3].mean()
    w = vectors[:, 3:] * (values[3:] - noise).sqrt()
    covariance = w @ w.T + noise * torch.eye(5, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(train.mean(0), covariance)
    expected = -law.log_prob(test).mean()
    assert abs(held_out_pca(train, test, 2) - float(expected)) < 1e-10
