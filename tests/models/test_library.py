"""The library size of counts, where it is taken as known."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.support.runs import tiny
from vaebench.config.build import build_stack, load_data
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError

COUNTS = {"name": "counts", "library_size": True}


def test_it_multiplies_the_means_of_each_example():
    """log p(x|z) is scipy's Poisson law of (sum of x) / 24 times the decoder's mean."""
    (config,) = resolve([tiny(likelihood="poisson", data=COUNTS)])
    data = load_data(config.data)
    model = build_stack([config], data.image_shape, data.log_volume).double()
    x, z = data.observe("test")[None, :40].double(), torch.zeros(1, 1, 40, 2).double()
    rate = model.mean_image(z)[0, 0].detach().numpy()
    size = x[0].sum(-1, keepdim=True).numpy() / 24
    expected = stats.poisson.logpmf(x[0].numpy(), size * rate).sum(-1)
    np.testing.assert_allclose(model.log_px_z(x, z)[0, 0].detach().numpy(), expected, atol=1e-6)
    means = model.mean_image(z, x)[0, 0].detach().numpy()
    np.testing.assert_allclose(means, size * rate)


def test_an_example_without_counts_has_the_size_of_one_count():
    (config,) = resolve([tiny(likelihood="negative_binomial", data=COUNTS)])
    model = build_stack([config], (24,))
    z = torch.zeros(1, 1, 1, 2)
    assert bool(model.log_px_z(torch.zeros(1, 1, 24), z).isfinite().all())


def test_it_is_an_observation_space_of_its_own():
    known, unknown = resolve(
        [tiny(likelihood="poisson", data=COUNTS | {"library_size": s}) for s in (True, False)]
    )
    assert known.observation_space.split("/")[1] == "given library size"
    assert unknown.observation_space.split("/")[1] == "none"
    assert known.data.fingerprint != unknown.data.fingerprint


def test_it_needs_a_likelihood_of_counts():
    with pytest.raises(
        InputError,
        match=r"'student_t' is none: choose 'negative_binomial' or 'poi|"
        r"'student_t' is none: choose 'poisson' or 'negative_binomial' or 'zero_",
    ):
        tiny(likelihood="student_t", data=COUNTS)
