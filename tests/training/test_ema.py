"""Moving averages of weights: torch's, run by run, graded, and kept over pauses."""

import copy

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.support.graphs import OF_COMPILING, needs_compiler
from tests.support.runs import run_config
from vaebench.config.build import build_stack, load_data
from vaebench.core.errors import InputError
from vaebench.models import select, tensors
from vaebench.ops import c
from vaebench.training.checkpoints import Checkpoint
from vaebench.training.loop import train, training_steps
from vaebench.training.progress import AT_START, graded
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
    plain = [run_config(seed=config.seed, learning_rate=1e-2, num_steps=NUM_STEPS)]
    for _ in training_steps(model, plain, dataset):
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
    configs = configs_of()
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
    assert graded(model, AT_START) is model


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(InputError, match=r"at 'train.ema'; got"):
        run_config(ema=decay)
