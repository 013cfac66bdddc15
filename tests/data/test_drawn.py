"""The drawn data sets `counts` and `series`: their laws, and the same bytes everywhere."""

import numpy as np
import pytest
import torch

from vaebench.data import load
from vaebench.data.counts import SIZE, means
from vaebench.data.series import NOISE, oscillators


def parts(name):
    """All examples but those to validate on, with their factors."""
    data = load(name, "none")
    both = data.train, data.test
    x, factors = (torch.cat([getattr(p, a) for p in both]).numpy() for a in ("x", "factors"))
    return x.astype(float), factors


@pytest.mark.parametrize(
    ("name", "fingerprint", "sizes"),
    [
        ("counts", "bac1de6a0be9057f", (2000, 400, 600)),
        ("series", "0b840bbe6ecd2833", (1920, 384, 576)),
    ],
)
def test_it_is_the_same_everywhere(name, fingerprint, sizes):
    data = load(name, "none")
    assert data.fingerprint == fingerprint
    assert tuple(len(part) for part in (data.train, data.valid, data.test)) == sizes


def test_counts_have_the_mean_and_the_dispersion_of_their_law():
    """Standardised residuals: mean 0 and variance 1, to four standard errors."""
    x, factors = parts("counts")
    mean = means(factors)
    residuals = (x - mean) / np.sqrt(mean + mean**2 / SIZE)
    assert abs(residuals.mean()) < 4 / residuals.size**0.5
    error = (residuals**2).std() / residuals.size**0.5
    assert abs((residuals**2).mean() - 1.0) < 4 * error
    poisson = (x - mean) / np.sqrt(mean)
    assert (poisson**2).mean() > 2.0  # over-dispersed
    assert np.array_equal(x, np.floor(x))


def test_series_are_oscillators_with_noise():
    x, factors = parts("series")
    residuals = (x - oscillators(factors)) / NOISE
    assert abs(residuals.mean()) < 4 / residuals.size**0.5
    error = (residuals**2).std() / residuals.size**0.5
    assert abs((residuals**2).mean() - 1.0) < 4 * error
    lag = (residuals[:, 1:] * residuals[:, :-1]).mean()
    assert abs(lag) < 4 / residuals.size**0.5


def test_each_combination_is_there():
    for name, num in (("counts", 60), ("series", 144)):
        assert len(np.unique(parts(name)[1], axis=0)) == num
