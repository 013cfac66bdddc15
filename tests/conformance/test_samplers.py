"""Samplers of the likelihoods: images from the law whose density is declared, for each entry."""

import dataclasses

import pytest
import torch

from tests.support.families import KEYS, model_of
from tests.support.likelihoods import parameters, quadrature
from vaebench.core.errors import InputError
from vaebench.data import Images
from vaebench.models.likelihoods import LIKELIHOODS, REAL, likelihood
from vaebench.ops.noise import Noise, normals

K, S, B, P = 8000, 2, 2, 3
NOISE = Noise((11, 12))
ENTRIES = [pytest.param(entry, id=entry.name) for entry in LIKELIHOODS.values()]
EACH = pytest.mark.parametrize("entry", ENTRIES)


def outputs(entry, num_samples=1, scale=1.5):
    """[K, S, B, n P], the same for every sample."""
    out = scale * normals(Noise((3, 4)), 1, B, entry.outputs_per_pixel * P).double()
    return out.expand(num_samples, -1, -1, -1)


def drawn(entry, num_samples=K, noise=NOISE, **more):
    out = outputs(entry, num_samples)
    return entry.sample(out, noise, **{**parameters(entry), **more})


def distribution_function(entry, run, row, pixel):
    """Points of the support and the mass up to each, of one pixel."""
    out = outputs(entry)[:, [run], [row]].unflatten(-1, (-1, P))[..., pixel][:, :, None]
    centre = float(entry.mean(out))
    x, weights = quadrature(entry.support, centre)
    rows = out.expand(1, 1, len(x), -1)
    mass = weights * entry.log_prob(x.view(1, -1, 1), rows, **parameters(entry)).exp().flatten()
    return x, mass.cumsum(0)


@EACH
def test_samples_have_the_declared_distribution_function(entry):
    """At nine quantiles of each pixel, to 4.5 standard errors of a share."""
    x = drawn(entry)
    assert x.shape == (K, S, B, P)
    for run, row, pixel in [(0, 0, 0), (0, 1, 2), (1, 0, 1), (1, 1, 1)]:
        points, cumulative = distribution_function(entry, run, row, pixel)
        wanted = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)
        at = torch.searchsorted(cumulative, wanted).clamp(max=len(points) - 1)
        middle = points[at] + (1e-9 if entry.support.values else 0.0)  # a level belongs below it
        share = (x[:, run, row, pixel, None].double() <= middle).double().mean(0)
        error = (cumulative[at] * (1 - cumulative[at]) / K).clamp_min(0).sqrt()
        assert ((share - cumulative[at]).abs() <= 4.5 * error + 1e-4).all(), (run, row, pixel)


@EACH
def test_samples_have_the_declared_mean(entry):
    x = drawn(entry)
    error = x.std(0) / K**0.5
    assert ((x.mean(0) - entry.mean(outputs(entry))[0]).abs() <= 4.5 * error + 1e-9).all()


@EACH
def test_pixels_rows_and_runs_are_independent(entry):
    """Correlations of 8000 samples, to 4.5 standard errors."""
    x = drawn(entry).double().flatten(1)
    x = x[:, x.std(0) > 1e-6]
    correlations = torch.corrcoef(x.T) - torch.eye(x.shape[1], dtype=torch.float64)
    assert correlations.abs().max() < 4.5 / K**0.5


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_samples_are_in_the_support_in_the_precision_of_the_outputs(entry, dtype, scale):
    x = entry.sample(outputs(entry, 200, scale).to(dtype), NOISE, **parameters(entry))
    assert x.dtype == dtype
    entry.check_support(Images(x.float()), "the samples")


@EACH
def test_samples_are_a_function_of_run_sample_and_row(entry):
    whole, out = drawn(entry, 6), outputs(entry, 6)
    later = entry.sample(out[2:], NOISE.at(sample=2), **parameters(entry))
    torch.testing.assert_close(later, whole[2:], rtol=0, atol=0)
    below = entry.sample(out[:, :, 1:], NOISE.at(row=1), **parameters(entry))
    torch.testing.assert_close(below, whole[:, :, 1:], rtol=0, atol=0)
    alone = entry.sample(out[:, 1:], Noise(NOISE.keys[1:]), **parameters(entry))
    torch.testing.assert_close(alone, whole[:, 1:], rtol=0, atol=0)


@EACH
def test_one_parameter_per_run(entry):
    values = torch.tensor([[0.4], [0.9]], dtype=torch.float64)
    stacked = drawn(entry, 5, **parameters(entry, values))
    for run in range(S):
        alone = drawn(entry, 5, **parameters(entry, float(values[run])))
        torch.testing.assert_close(stacked[:, run], alone[:, run])


# ------------------------------------------------------------------ declared, or left out


def test_a_sampler_takes_the_parameters_of_its_density():
    def ours(x, out, *, scale=1.0):
        return out

    with pytest.raises(InputError, match=r"must take the parameters of its density, \['scale'\]"):
        likelihood(
            source="", measure="density", support=REAL, mean=ours, sample=lambda out, noise: out
        )(ours)
    assert "ours" not in LIKELIHOODS


def test_a_model_draws_from_its_likelihood_with_its_own_scalars():
    model = model_of("diagonal_gaussian", "standard_normal")
    z = normals(Noise(KEYS), 4, 5, 2).double()
    expected = LIKELIHOODS["bernoulli"].sample(model.decode(z), Noise(KEYS))
    torch.testing.assert_close(model.sample_image(z, Noise(KEYS)), expected)
    model.family = dataclasses.replace(model.family, likelihood=LIKELIHOODS["gaussian_learned"])
    model.learned["log_sigma"] = torch.nn.Parameter(torch.full((3, 1), -30.0))
    torch.testing.assert_close(model.sample_image(z, Noise(KEYS)), model.decode(z))


def test_a_likelihood_without_a_sampler_says_so():
    model = model_of("diagonal_gaussian", "standard_normal")
    bare = dataclasses.replace(LIKELIHOODS["bernoulli"], sample=None)
    model.family = dataclasses.replace(model.family, likelihood=bare)
    with pytest.raises(InputError, match="'bernoulli' declares no sampler"):
        model.sample_image(torch.zeros(1, 3, 1, 2).double(), Noise(KEYS))
