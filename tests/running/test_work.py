"""The work of a step: exact counts of what is known by hand."""

import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import vaebench as vb
from tests.support.networks import plain, registered  # noqa: F401  # a fixture
from tests.support.runs import small, tiny
from vaebench.config.build import build_stack, load_data
from vaebench.objectives import OBJECTIVES
from vaebench.running import work
from vaebench.running.work import Operations, step_work
from vaebench.training.loop import training_steps


def test_operations_are_counted_exactly():
    a, b = torch.ones(2, 3, 5), torch.ones(2, 5, 7)
    with Operations() as counted:
        product = torch.bmm(a, b)
        product.transpose(1, 2).relu() + 1.0
    assert counted.flops == 2 * 2 * 3 * 5 * 7
    assert counted.elements == 2 * (2 * 3 * 7), "a view writes nothing"


def test_products_of_a_small_model():
    """Two layers each of encoder and decoder: forwards, and backwards for weights and inputs."""
    config = tiny(model={"latent_dim": 2, "widths": [8]})
    pixels, batch = 64, config.train.batch_size
    forward = 2 * batch * (pixels * 8 + 8 * 4 + 2 * 8 + 8 * pixels)
    of_the_image = 2 * batch * pixels * 8  # which has no gradient
    assert step_work(config).flops == 3 * forward - of_the_image


@pytest.mark.parametrize("model", ["mlp", "conv"])
def test_products_are_those_that_pytorch_counts(model):
    config = tiny(model={"name": model, "latent_dim": 2, "widths": [8]}, num_samples=3)
    dataset = load_data(config.data)
    steps = training_steps(build_stack([config], dataset.image_shape), [config], dataset)
    with FlopCounterMode(display=False) as counted:
        next(steps)
    assert step_work(config).flops == counted.get_total_flops()


@pytest.fixture
def counted_anew(monkeypatch):
    monkeypatch.setattr(work, "_counted", {})


def test_a_network_of_the_users_is_counted_as_it_is(registered, counted_anew):  # noqa: F811
    """Layer by layer as a built-in one of its sizes; what draws finds the generator as it was."""
    registered(plain)
    drawn = torch.random.get_rng_state()
    mine, built_in = (
        step_work(tiny(model={"latent_dim": 2, **more}))
        for more in ({"name": "plain", "width": 8}, {"widths": [8]})
    )
    assert mine.flops == mine.product_flops == built_in.flops
    assert 0.9 < mine.num_bytes / built_in.num_bytes < 1.3
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_other_functions_of_the_users_are_left_to_workers(counted_anew):
    """A plain ELBO on the same network and minibatch is counted in their place."""

    @vb.objective(source="this test", bound="none")
    def leaves(t: vb.Terms):
        raise AssertionError("called by the coordinator")

    try:
        mine, usual = (
            step_work(tiny(objective=name, num_samples=3)) for name in ("leaves", "elbo")
        )
        assert mine == usual
    finally:
        del OBJECTIVES._entries["leaves"]


def test_convolutions_that_compiled_steps_leave_to_pytorch_are_told_apart():
    """The layers of `conv` are taken as products, those of 3x3 are not."""
    convolutions, residual = (step_work(tiny(model=small(name))) for name in ("conv", "resnet"))
    assert convolutions.product_flops == convolutions.flops
    assert 0 < residual.product_flops < residual.flops / 2


def test_more_samples_and_larger_minibatches_are_more_work():
    one = step_work(tiny())
    for more in (step_work(tiny(objective="iwae", num_samples=4)), _of_batches(64)):
        assert more.flops > 2 * one.flops
        assert more.elements > 2 * one.elements


def _of_batches(size):
    return step_work(tiny(train={"num_steps": 5, "batch_size": size}))


def test_runs_of_any_length_are_counted_without_a_clock(monkeypatch):
    for name in ("perf_counter", "monotonic", "process_time", "time"):
        monkeypatch.setattr(time, name, lambda: pytest.fail("a clock was read"))
    lengths = [tiny(train={"num_steps": n, "batch_size": 16}) for n in (1, 2, 1000)]
    assert len({work._count(config) for config in lengths}) == 1


def test_a_run_needs_its_weights_three_times_and_a_step():
    config = tiny()
    weights = 4 * sum(p.numel() for p in build_stack([config], (8, 8)).parameters())
    activations = 4 * config.train.batch_size * 64
    num_bytes = step_work(config).num_bytes
    assert 3 * weights + activations < num_bytes < 10 * (weights + activations)


def test_averages_of_weights_are_counted_once_more():
    plain, averaged = (
        tiny(train={"num_steps": 5, "batch_size": 16, "ema": ema}) for ema in (0.0, 0.9)
    )
    weights = 4 * sum(p.numel() for p in build_stack([plain], (8, 8)).parameters())
    assert plain.stack_key == averaged.stack_key
    assert step_work(averaged).num_bytes == step_work(plain).num_bytes + weights


def test_objectives_that_hold_more_need_more():
    """beta_tc compares every code with every example, dimension by dimension."""
    large = {
        "model": {"latent_dim": 16, "widths": [8]},
        "train": {"num_steps": 2, "batch_size": 64},
    }
    elbo, beta_tc = (step_work(tiny(objective=name, **large)) for name in ("elbo", "beta_tc"))
    assert beta_tc.num_bytes > 10 * elbo.num_bytes
