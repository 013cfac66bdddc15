"""Standardised values: fitted on the training part, and log p(x) that of what is stored."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.support.runs import tiny
from vaebench.config.build import build_stack, load_data
from vaebench.config.resolve import resolve
from vaebench.data import load
from vaebench.ops import c

RANDOM = np.random.default_rng(1)
X = RANDOM.normal([5.0, -300.0, 0.0, 7.0], [2.0, 40.0, 1e-3, 0.0], (90, 4))


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=X[:40], x_valid=X[40:60], x_test=X[60:])
    return str(tmp_path / "mine.npz")


def test_the_moments_are_those_of_the_training_part_alone(path):
    data = load(path, "none", values="real", standardise=True)
    mean, deviation = X[:40].mean(0), X[:40].std(0)
    deviation[3] = 1.0  # one value throughout
    for part, rows in (("train", X[:40]), ("valid", X[40:60]), ("test", X[60:])):
        expected = torch.from_numpy((rows - mean) / deviation).float()
        torch.testing.assert_close(data.observe(part), expected, rtol=1e-3, atol=1e-4)
    assert data.log_volume == pytest.approx(float(np.log(deviation).sum()), abs=1e-5)


def test_c_and_pytorch_read_the_same_numbers(path, monkeypatch):
    data = load(path, "none", values="real", standardise=True)
    numbers = data.observe("test")
    monkeypatch.setattr(c, "library", lambda: None)
    assert torch.equal(data.observe("test"), numbers)


def test_it_is_another_data_set_with_another_space(path):
    plain, scaled = resolve(
        [
            tiny(
                likelihood="gaussian_learned",
                data={"name": path, "values": "real", "standardise": standardise},
            )
            for standardise in (False, True)
        ]
    )
    assert plain.data.fingerprint != scaled.data.fingerprint
    assert plain.observation_space.split("/")[1] == "none"
    assert scaled.observation_space.split("/")[1] == "standardised"


def test_the_likelihood_is_that_of_the_stored_values(path):
    """log p(x|z) of the model is scipy's Gaussian in the original units, by the exact Jacobian."""
    settings = {"name": path, "values": "real", "standardise": True}
    (config,) = resolve([tiny(likelihood={"name": "gaussian", "sigma": 0.7}, data=settings)])
    data = load_data(config.data)
    model = build_stack([config], data.image_shape, data.log_volume).double()
    x, z = data.observe("test").double()[None], torch.zeros(1, 1, 30, 2).double()
    mean = model.mean_image(z)[0, 0].detach().numpy()
    scaling = data.train.images.reading.scaling
    shift, scale = (t.double().numpy() for t in (scaling.shift, scaling.scale))
    law = stats.norm(shift + scale * mean, 0.7 * scale)
    stored = X[60:].astype(np.float32)
    expected = law.logpdf(stored).sum(-1)
    computed = model.log_px_z(x, z)[0, 0].detach().numpy()
    np.testing.assert_allclose(computed, expected, atol=1e-4)  # x itself is in float32


def test_the_nll_does_not_depend_on_the_units(tmp_path):
    """The same values in other units have the same NLL but for the log of the units."""
    nlls = []
    for units in (1.0, 1000.0):
        x = units * X[:, :3].astype(np.float32)
        np.savez(tmp_path / "mine.npz", x_train=x[:60], x_test=x[60:])
        data = load(str(tmp_path / "mine.npz"), "none", values="real", standardise=True)
        y = data.observe("test").double()
        log_p = stats.norm.logpdf(y.numpy()).sum(-1) - data.log_volume
        nlls.append(-log_p.mean())
    assert nlls[1] - nlls[0] == pytest.approx(3 * math.log(1000.0), abs=1e-4)
