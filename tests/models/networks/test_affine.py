"""The mlp: activations that are torch's, initial weights that are Glorot's, biases at the data."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.graphs import OF_COMPILING, Interpreted, assert_alike, history, needs_compiler
from tests.support.runs import isolated, run_config
from vaebench.config.build import build_stack, load_data, outputs_at_mean
from vaebench.core.errors import InputError
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.likelihoods.counts import library_size
from vaebench.models.networks.affine import ACTIVATIONS
from vaebench.training.loop import train
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import always

pytestmark = OF_COMPILING

P, WIDTH, D = 64, 8, 2
CPU = torch.device("cpu")
of_each = pytest.mark.parametrize("activation", ACTIVATIONS)


def config_of(likelihood="bernoulli", seed=0, num_steps=5, **hyper):
    sizes = {"latent_dim": D, "widths": [WIDTH], "num_classes": 3, "num_components": 5}
    more = {"data": hyper.pop("data")} if "data" in hyper else {}
    settings = {"seed": seed, "num_steps": num_steps, **more}
    return run_config("elbo", likelihood, model=sizes | hyper, **settings)


def gated(x):
    signal, gate = x.chunk(2, -1)
    return signal * torch.sigmoid(gate)


FORMULAS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "gelu": lambda x: x * torch.distributions.Normal(0.0, 1.0).cdf(x),
    "gated": gated,
}


@of_each
def test_a_hidden_layer_has_its_activation(activation):
    model = build_stack([config_of(activation=activation)], (8, 8))
    first, _, last = model.encoder
    x = torch.linspace(-1.0, 1.0, 3 * P).view(1, 3, P)
    hidden = FORMULAS[activation](F.linear(x[0], first.weight[0].T, first.bias[0, 0]))
    assert hidden.shape == (3, WIDTH)
    expected = F.linear(hidden, last.weight[0].T, last.bias[0, 0])
    torch.testing.assert_close(model.encoder(x)[0], expected)


@of_each
def test_runs_with_an_activation_are_what_they_are_alone(activation):
    assert isolated([config_of(seed=seed, activation=activation) for seed in (0, 1, 2)])


@of_each
def test_its_traced_step_is_the_eager_one(activation):
    configs = [config_of(seed=seed, activation=activation) for seed in (0, 1)]
    alike = history(configs, eager), history(configs, Interpreted)
    assert_alike(*alike, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])
def test_its_compiled_steps_are_the_eager_ones(activation):
    configs = [config_of(seed=seed, num_steps=8, activation=activation) for seed in (0, 1)]
    ways = (history(configs, way, torch.float32, at_once=4) for way in (eager, always()))
    assert_alike(*ways, rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize("activation", ["tanh", "gated"])
def test_glorot_weights_are_those_of_xavier_uniform_in_every_map(activation):
    """The means and the log variances are maps of their own, as the halves of a gated layer."""
    sizes = {"latent_dim": 50, "widths": [200], "activation": activation, "init": "glorot"}
    model = build_stack([run_config(model=sizes, seed=seed) for seed in (0, 1)], (28, 28))
    hidden = 2 if activation == "gated" else 1
    first, _, last = model.encoder
    for layer, shape, maps in [(first, (784, 200), hidden), (last, (200, 50), 2)]:
        limit = math.sqrt(6.0 / sum(shape))
        reference = nn.init.xavier_uniform_(torch.empty(shape))
        for weight in layer.weight.chunk(maps, -1):
            assert weight.shape[1:] == shape
            assert 0.999 * limit < weight.abs().max() <= limit
            # The variance of a uniform variable is limit^2 / 3; its standard error over n of them
            # is sqrt(4 / 45 n) limit^2.
            error = math.sqrt(4.0 / 45.0 / math.prod(shape)) * limit**2
            for run in weight:
                assert abs(run.var() - limit**2 / 3.0) < 4.0 * error
            assert abs(reference.var() - limit**2 / 3.0) < 4.0 * error
        assert not layer.bias.any()


def test_what_is_at_its_default_leaves_a_run_as_it_was():
    usual = config_of()
    written = config_of(activation="relu", init="torch", output_bias="layer")
    other = config_of(activation="tanh")
    assert written.id == usual.id != other.id
    assert not [name for name in usual.settings if name.startswith("model.act")]
    assert other.settings == usual.settings | {"model.activation": "tanh"}


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_output_biases_start_at_the_log_odds_of_the_data(activation):
    configs = [
        config_of(seed=seed, activation=activation, output_bias="data", num_steps=1)
        for seed in (0, 1)
    ]
    dataset = load_data(configs[0].data)
    mean = dataset.train.images.whole().mean(0).clamp(0.001, 0.999)
    expected = (mean / (1.0 - mean)).log()
    start = outputs_at_mean(configs[0], dataset)
    torch.testing.assert_close(start, expected)
    for bias in build_stack(configs, dataset.image_shape, 0.0, start).decoder[-1].bias:
        assert torch.equal(bias[0], start)
    trained = train(configs, dataset, CPU).model.decoder[-1].bias  # Adam has moved them by a step
    torch.testing.assert_close(trained[:, 0], expected.expand(2, -1), rtol=0.0, atol=1.1e-3)
    assert outputs_at_mean(config_of(), dataset) is None


def test_output_biases_of_a_density_start_at_the_mean():
    config = config_of({"name": "gaussian", "sigma": 0.3}, output_bias="data")
    dataset = load_data(config.data)
    torch.testing.assert_close(outputs_at_mean(config, dataset), dataset.observe("train").mean(0))


@pytest.mark.parametrize("by_library", [False, True])
@pytest.mark.parametrize(
    "likelihood", ["poisson", "negative_binomial", "zero_inflated_negative_binomial"]
)
def test_output_biases_of_counts_start_at_the_log_of_the_mean(likelihood, by_library):
    """p(x|z) has the mean of the counts; with library sizes, summed over them."""
    data = {"name": "counts", "library_size": by_library}
    config = config_of(likelihood, output_bias="data", data=data)
    dataset = load_data(config.data)
    x = dataset.observe("train")
    out = outputs_at_mean(config, dataset).expand(1, 1, len(x), -1)
    entry = LIKELIHOODS[likelihood]
    if by_library:
        out = entry.exposed(out, library_size(x[None]))
    torch.testing.assert_close(entry.mean(out)[0, 0].mean(0), x.mean(0), rtol=1e-4, atol=1e-3)


def test_a_likelihood_without_outputs_of_a_mean_is_refused():
    with pytest.raises(InputError, match="'beta' does not: leave output_bias out, or choose bern"):
        config_of("beta", output_bias="data")


def test_a_word_that_is_none_is_refused():
    with pytest.raises(InputError, match="activation must be 'relu' or 'tanh' or 'elu' or 'gelu'"):
        config_of(activation="swish")
