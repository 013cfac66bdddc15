"""Moving averages of weights: torch's, run by run, graded, and kept over pauses."""

import copy
from itertools import islice

import msgspec
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from tests.support.graphs import OF_COMPILING, needs_compiler
from tests.support.networks import normed, registered  # noqa: F401  # a fixture
from tests.support.runs import run_config, small
from vaebench.config.build import build_stack, load_data, streams
from vaebench.core.errors import InputError
from vaebench.models import select, tensors
from vaebench.models.networks.normalised import StackedBatchNorm
from vaebench.ops import c
from vaebench.training.averaged import NUM_MINIBATCHES, graded
from vaebench.training.checkpoints import Checkpoint
from vaebench.training.loop import train, training_steps
from vaebench.training.minibatches import batches
from vaebench.training.progress import AT_START
from vaebench.training.scalars import scalars
from vaebench.training.step import loss_of
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import always

pytestmark = OF_COMPILING

CPU, NUM_STEPS = torch.device("cpu"), 12
DECAYS = (0.9, 0.0, 0.5)


def configs_of(decays=DECAYS, **more):
    more = {"learning_rate": 1e-2, "num_steps": NUM_STEPS, **more}
    return [run_config(seed=seed, ema=decay, **more) for seed, decay in enumerate(decays)]


def by_torch(config):
    """The weights of a run alone after its last step, as torch averages them."""
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape)
    averaged = AveragedModel(
        copy.deepcopy(model), multi_avg_fn=get_ema_multi_avg_fn(config.train.ema)
    )
    plain = msgspec.structs.replace(config, train=msgspec.structs.replace(config.train, ema=0.0))
    for _ in training_steps(model, [plain], dataset):
        averaged.update_parameters(model)
    return averaged.module if config.train.ema else model


def assert_close(model, expected):
    for a, b in zip(tensors(model), tensors(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_c", [True, False])
def test_a_run_is_graded_by_the_averages_of_torch(monkeypatch, in_c):
    """Beside runs of other decays, and of none."""
    if not in_c:
        monkeypatch.setattr(c, "library", lambda: None)
    configs = configs_of()
    model = train(configs, load_data(configs[0].data), CPU).model
    for run, config in enumerate(configs):
        assert_close(select(model, [run]), by_torch(config))


def passes(config):
    """The terms of a run's first minibatches in training, as functions of the model."""
    dataset = load_data(config.data)
    like = torch.empty(0)
    loss, of_step = loss_of(config, dataset), scalars([config], like)(NUM_STEPS - 1)
    for i, block in enumerate(islice(batches([config], dataset, like), NUM_MINIBATCHES)):
        noise = streams([config], "renew").at(step=i)
        yield lambda model, x=block[0], noise=noise: loss.terms(model, x, noise, of_step).kl


def statistics_by_hand(model, config):
    """Set the running values of each layer to the mean of those of its inputs, as it sees them."""
    layers = [module for module in model.modules() if isinstance(module, StackedBatchNorm)]
    seen = {layer: [] for layer in layers}
    for layer in layers:
        layer.register_forward_pre_hook(lambda layer, inputs: seen[layer].append(*inputs))
    with torch.no_grad():
        for terms in passes(config):
            terms(model)
    for layer in layers:
        layer.running_mean = torch.stack([x.mean(1, keepdim=True) for x in seen[layer]]).mean(0)
        layer.running_var = torch.stack([x.var(1, keepdim=True) for x in seen[layer]]).mean(0)
    return model


def test_running_statistics_are_those_of_the_averages():
    """Beside a run that is not averaged, which keeps those of training."""
    configs = configs_of(model=small("mlp", norm="batch"))
    model = train(configs, load_data(configs[0].data), CPU).model
    for run, config in enumerate(configs):
        expected = by_torch(config)
        if config.train.ema:
            expected = statistics_by_hand(expected, config)
        assert_close(select(model, [run]), expected)


def test_running_statistics_of_own_modules_are_those_of_torch(registered):  # noqa: F811
    """Run by run, as `update_bn` makes them; other buffers are those of training."""
    configs = configs_of((0.9,) * 4, model={"name": registered(normed).name, "latent_dim": 2})
    model = train(configs, load_data(configs[0].data), CPU).model
    for run, config in enumerate(configs):
        expected = by_torch(config)
        update_bn(passes(config), Passing(expected))
        for name, tensor in select(model, [run]).state_dict().items():
            value = expected.state_dict()[name]
            value = torch.full_like(value, NUM_STEPS) if "num_batches" in name else value
            torch.testing.assert_close(tensor, value, rtol=1e-5, atol=1e-6)


class Passing(nn.Module):
    """A model that is given what to do with it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, terms):
        return terms(self.model)


@pytest.mark.slow
@needs_compiler
def test_compiled_steps_average_as_eager_ones():
    configs = configs_of()
    dataset = load_data(configs[0].data)
    compiled, plain = (train(configs, dataset, CPU, make_blocks=w).model for w in (always(), eager))
    for a, b in zip(tensors(compiled), tensors(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-4)


def test_a_pause_changes_no_bit():
    """Also of a run that goes on without the others, or beside one that is not averaged."""
    configs = configs_of(model=small("mlp", norm="batch"))
    dataset = load_data(configs[0].data)
    whole = train(configs, dataset, CPU)
    first = train(configs, dataset, CPU, until=6)
    start = [Checkpoint.from_bytes(paused.to_bytes()) for paused in first.checkpoints]
    rest = train(configs, dataset, CPU, start=start)
    assert rest.curves == whole.curves
    for a, b in zip(tensors(whole.model), tensors(rest.model), strict=True):
        assert torch.equal(a, b)
    averaged, plain = (train([configs[i]], dataset, CPU, until=6).checkpoints[0] for i in (0, 1))
    assert averaged.averages
    assert not plain.averages
    mixed = train(configs[:2], dataset, CPU, start=[averaged, plain]).model
    assert_close(mixed, select(whole.model, [0, 1]))


def test_curves_and_the_best_weights_are_of_the_averages():
    """With a decay near 1 the averages hardly move, whatever the weights do."""
    plain, slow = configs_of((0.0, 0.9999), keep="best")
    curves = [
        train([config], load_data(config.data), CPU).curves[0]["valid_elbo_nats"]
        for config in (plain, slow)
    ]
    start, end = (max(curve) - min(curve) for curve in reversed(curves))
    assert start < 0.1 * end


def test_without_averages_nothing_is_kept():
    config = run_config()
    assert config.id == run_config(ema=0.0).id != run_config(ema=0.5).id
    assert "train.ema" not in config.settings
    assert run_config(ema=0.5).settings["train.ema"] == "0.5"
    model = build_stack([config], (8, 8))
    assert graded(model, AT_START, [config], load_data(config.data)) is model


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(InputError, match=r"train.ema must be a number .*; got"):
        run_config(ema=decay)
