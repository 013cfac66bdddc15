"""The rate and the active dimensions of each layer, on chains whose answers are known."""

import torch

from vaebench.diagnostics.certify.exact.chain import linear_chain
from vaebench.diagnostics.certify.exact.linear_gaussian import linear_gaussian
from vaebench.evaluation.codes import layers as module
from vaebench.evaluation.codes.layers import of_layers, rates_of_layers
from vaebench.evaluation.codes.usage import is_active, reconstructed
from vaebench.models.posteriors import Drawing
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

NOISE = Noise((3,))
X = 2.0 * normals(Noise((4,)), 1, 200, 5)[0, 0].double()


def grades_of(model, x=X):
    halves = reconstructed(model, x, NOISE).halves
    return {grade.name: grade for grade in of_layers(model, x, NOISE, is_active(*halves))}


def with_an_upper_layer_that_says_nothing():
    model = linear_chain(1.0, (3, 2))
    for network in (model.up[0], model.down[0]):
        for parameter in network.parameters():
            parameter.zero_()
    return model


def test_the_rates_of_layers_add_up_to_the_rate_whatever_the_chunks(monkeypatch):
    model = linear_chain(1.0)
    rates = rates_of_layers(model, X, NOISE)
    draw = model.posterior(X[None]).draw(Drawing(NOISE, module.NUM_SAMPLES, densities))
    whole = (draw.log_qz_x - model.prior().log_prob(draw.z)).mean(0)
    assert rates.shape == (1, len(X), 3)
    torch.testing.assert_close(rates.sum(-1), whole)
    monkeypatch.setattr(module, "bytes_for", lambda device: 1)
    torch.testing.assert_close(rates_of_layers(model, X[:5], NOISE), rates[:, :5])


def test_a_layer_that_says_nothing_has_no_rate_and_no_active_dimension():
    """Though a mean over samples varies: by 1/64 of the variance of z_2, which is 1."""
    grades = grades_of(with_an_upper_layer_that_says_nothing())
    assert float(grades["rate_layer_2"].values) == 0.0
    assert grades["active_layer_2"].values.tolist() == [0]
    assert grades["collapsed_layer_2"].values.tolist() == [1.0]
    assert grades["active_layer_1"].values.tolist() == [3]
    assert float(grades["rate_layer_1"].values) > 0.1


def test_noise_of_samples_makes_no_dimension_active():
    """Means of 32 samples of N(0, 1) vary by 0.03, above the limit of 0.01."""
    first, second = normals(NOISE, 2, 500, 8).double() / 32**0.5
    assert is_active(first).all()
    assert not is_active(first, second).any()


def test_a_model_of_one_layer_has_no_grades_of_layers():
    assert grades_of(linear_gaussian(1.0)) == {}
