"""What holds of every model, those of the package and networks that a user's file registers."""

import pytest
import torch

from tests.support.graphs import (
    OF_COMPILING,
    Interpreted,
    assert_alike,
    history,
    needs_compiler,
)
from tests.support.networks import OF_USERS, registered
from tests.support.runs import isolated, run_config, small
from vaebench.config.build import build_stack, load_data, streams
from vaebench.models import MODELS, select, tensors
from vaebench.ops.noise import Noise
from vaebench.training.isolation import check_isolated
from vaebench.training.loop import train
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import always, where_possible

pytestmark = OF_COMPILING
__all__ = ["registered"]

CPU = torch.device("cpu")
ALL = [*MODELS, *OF_USERS]
TRACEABLE = [name for name in ALL if name != "deciding"]
EXACT = {"rtol": 1e-9, "atol": 1e-9}
IN_FLOAT32 = {"rtol": 5e-4, "atol": 5e-4}


@pytest.fixture
def configs_of(registered):
    """Makes the configurations of runs of a model by its name."""

    def make(name, num_runs=3, **more):
        if name in OF_USERS and name not in MODELS:
            registered(OF_USERS[name])
        return [run_config(model=small(name), seed=seed, **more) for seed in range(num_runs)]

    return make


@pytest.mark.parametrize("name", ALL)
def test_a_stack_is_its_runs_alone(configs_of, name):
    assert isolated(configs_of(name))


@pytest.mark.parametrize("name", TRACEABLE)
def test_its_traced_step_is_the_eager_one(configs_of, name):
    """To 9 digits in float64, buffers that it moves included."""
    configs = configs_of(name, num_runs=2)
    assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["normed", "convolving"])
def test_compiled_steps_are_the_eager_ones(configs_of, name):
    configs = configs_of(name, num_steps=8)
    compiled = history(configs, always(), torch.float32, at_once=4)
    assert_alike(history(configs, eager, torch.float32, at_once=4), compiled, **IN_FLOAT32)


def test_what_cannot_be_traced_is_eager(configs_of):
    configs = configs_of("deciding")
    assert_alike(
        history(configs, where_possible(), torch.float32),
        history(configs, eager, torch.float32),
        rtol=0.0,
        atol=0.0,
    )


@pytest.mark.parametrize("name", OF_USERS)
def test_a_users_network_passes_the_trial_of_isolation(configs_of, monkeypatch, name):
    monkeypatch.setattr("vaebench.training.isolation.KNOWN_PACKAGES", frozenset())
    configs = configs_of(name)
    check_isolated(configs, load_data(configs[0].data), CPU)


@pytest.mark.parametrize("name", ALL)
def test_a_run_that_paused_goes_on_as_if_it_had_not(configs_of, name):
    configs = configs_of(name, num_steps=12)
    dataset = load_data(configs[0].data)
    whole = train(configs, dataset, CPU)
    first = train(configs, dataset, CPU, until=6)
    both = train(configs, dataset, CPU, start=first.checkpoints)
    for a, b in zip(tensors(whole.model), tensors(both.model), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", OF_USERS)
def test_in_evaluation_each_example_is_graded_alone(configs_of, name):
    """The same numbers at every call, whatever lies beside it."""
    configs = configs_of(name)
    dataset = load_data(configs[0].data)
    model = train(configs, dataset, CPU).model
    x = dataset.observe("valid")[:6].expand(3, -1, -1)
    together, apart = model.encoded(x), model.encoded(x[:, :2])
    torch.testing.assert_close(together[:, :2], apart)
    assert torch.equal(together, model.encoded(x))


def test_statistics_of_batch_normalisation_are_each_runs_own(configs_of):
    """They move in training alone, are in the weights, and are what evaluation divides by."""
    configs = configs_of("normed")
    dataset = load_data(configs[0].data)
    before = build_stack(configs, dataset.image_shape)
    model = train(configs, dataset, CPU).model
    layer = model.encoder.network[2]
    assert layer.num_batches_tracked.tolist() == [configs[0].train.num_steps] * 3
    assert not torch.equal(layer.running_mean[0], layer.running_mean[1])
    assert (before.encoder.network[2].running_mean == 0).all()
    names = [name for name in model.state_dict() if name.startswith("encoder.network.2.")]
    assert {name.rpartition(".")[2] for name in names} == {
        *("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    kept = layer.running_mean.clone()
    x = dataset.observe("valid")[:4].expand(3, -1, -1)
    first = model.encoded(x)
    assert torch.equal(layer.running_mean, kept)
    layer.running_mean += 1.0
    assert not torch.allclose(model.encoded(x), first)


def test_dropout_is_a_function_of_seed_and_step(configs_of):
    configs = configs_of("dropping", num_runs=2)
    dataset = load_data(configs[0].data)
    model, noise = build_stack(configs, dataset.image_shape), streams(configs, "train")
    x = dataset.observe("valid")[:4].expand(2, -1, -1)
    first = model.encoded(x, noise)
    assert torch.equal(model.encoded(x, noise), first)
    assert not torch.equal(model.encoded(x, noise.at(step=1)), first)
    assert not torch.equal(model.encoded(x, Noise(noise.keys[::-1])), first)
    torch.testing.assert_close(select(model, [1]).encoded(x[1:], Noise(noise.keys[1:])), first[1:])
    assert not torch.equal(model.encoded(x), first)
