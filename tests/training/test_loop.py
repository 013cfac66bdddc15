"""The loop: stacked equals alone at every step, divergence stays where it is."""

from functools import partial

import msgspec
import pytest
import torch

from tests.support.runs import step_by_step, tiny
from vaebench import ops
from vaebench.config.build import build_stack, load_data
from vaebench.core.errors import InputError
from vaebench.data import load
from vaebench.ops import densities
from vaebench.training.descent import clip_gradients, gradient_norms
from vaebench.training.loop import train, training_steps
from vaebench.training.minibatches import batches
from vaebench.training.stepping.eager import EagerStep

CPU = torch.device("cpu")
VARIANTS = {
    "elbo": {"objective": "elbo"},
    "warm-up": {"objective": "elbo", "rate_weight": {"name": "linear", "over": 0.5}},
    "beta": {"objective": {"name": "beta_elbo", "beta": 2.0}},
    "iwae": {"objective": "iwae", "num_samples": 3},
    "gaussian": {
        "objective": "elbo_mc",
        "likelihood": "gaussian_learned",
        "data": {"name": "digits"},
    },
}


def stack_of(variant, num_runs=8):
    """Runs that differ in seed, in learning rate and, where there is one, in beta."""
    configs = []
    for i in range(num_runs):
        changes = dict(VARIANTS[variant])
        if variant == "beta":
            changes["objective"] = {"name": "beta_elbo", "beta": 0.5 + i}
        settings = {"num_steps": 30, "batch_size": 16, "learning_rate": 1e-3 * (1 + i // 3)}
        configs.append(tiny(**changes, seed=i % 5, train=settings))
    return configs


def losses(configs, operations=ops):
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape)
    steps = training_steps(
        model, configs, dataset, step_by_step(partial(EagerStep, operations=operations))
    )
    return torch.stack([step.loss for step in steps])


@pytest.mark.parametrize("variant", VARIANTS)
def test_stacked_equals_alone_at_every_step(variant):
    configs = stack_of(variant)
    stacked = losses(configs)
    assert stacked.shape == (30, 8)
    for i, config in enumerate(configs):
        torch.testing.assert_close(stacked[:, i : i + 1], losses([config]), rtol=2e-5, atol=2e-4)


def test_loss_falls():
    by_step = losses([tiny(train={"num_steps": 300, "batch_size": 32})])
    assert float(by_step[-20:].mean()) < float(by_step[:20].mean()) - 5


def test_the_same_twice_is_identical():
    configs = stack_of("iwae", 3)
    assert torch.equal(losses(configs), losses(configs))


def test_kernels_and_their_reference_train_alike():
    configs = stack_of("elbo", 2)
    torch.testing.assert_close(losses(configs), losses(configs, operations=densities))


def test_a_run_that_diverges_leaves_its_stack_mates_untouched():
    def configs(rates):
        return [
            tiny(seed=i, train={"num_steps": 80, "batch_size": 16, "learning_rate": rate})
            for i, rate in enumerate(rates)
        ]

    dataset = load("digits", "dynamic")
    wild, calm = configs([1e-3, 1e30, 1e-3]), configs([1e-3, 2e-3, 1e-3])
    trained, reference = train(wild, dataset, CPU), train(calm, dataset, CPU)
    assert trained.diverged_at[0] is None
    assert trained.diverged_at[2] is None
    assert trained.diverged_at[1] is not None
    assert 1 <= trained.diverged_at[1] < 80
    for a, b in zip(trained.model.parameters(), reference.model.parameters(), strict=True):
        torch.testing.assert_close(a[[0, 2]], b[[0, 2]])


def test_a_run_that_diverges_on_its_last_step_has_diverged():
    configs = [
        tiny(seed=i, train={"num_steps": 1, "batch_size": 16, "learning_rate": rate})
        for i, rate in enumerate((1e-3, 1e39))
    ]
    assert train(configs, load("digits", "dynamic"), CPU).diverged_at == (None, 0)


def test_the_norm_in_the_curves_is_the_one_before_clipping():
    curves = [
        train(
            [tiny(train={"num_steps": 3, "batch_size": 16, "max_grad_norm": norm})],
            load("digits", "dynamic"),
            CPU,
        ).curves[0]["grad_norm"]
        for norm in (None, 1e-3)
    ]
    assert curves[0][0] == pytest.approx(curves[1][0])


def test_an_objective_of_the_wrong_shape_is_refused():
    from vaebench.objectives import OBJECTIVES, objective

    try:

        @objective(source="this test", bound="none")
        def forgets_k(t):
            return -t.log_w

        with pytest.raises(InputError, match=r"one loss per run and example, \(1, 16\); got"):
            losses([tiny(objective="forgets_k")])
    finally:
        OBJECTIVES._entries.pop("forgets_k", None)


def test_curves_have_a_value_per_point_and_run():
    trained = train(stack_of("elbo", 2), load("digits", "dynamic"), CPU)
    for curve in trained.curves:
        assert set(map(len, curve.values())) == {30}
        assert curve["step"][-1] == 30.0


def test_gradients_are_clipped_run_by_run():
    model = build_stack([tiny(seed=i) for i in range(3)], (8, 8))
    sum(p.square().sum() for p in model.parameters()).backward()
    before = gradient_norms(model)
    whole = torch.cat([p.grad[1].flatten() for p in model.parameters()]).norm()
    torch.testing.assert_close(before[1], whole)
    clip_gradients(model, torch.tensor([1.0, torch.inf, 1e6]))
    expected = torch.stack([torch.tensor(1.0), before[1], before[2]])
    torch.testing.assert_close(gradient_norms(model), expected)


def test_a_norm_beyond_float32_does_not_spoil_a_run_without_a_limit():
    model = build_stack([tiny(seed=i) for i in range(2)], (8, 8))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e30)
    clip_gradients(model, torch.tensor([torch.inf, 1.0]))
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all((p.grad[0] == 1e30).all() for p in model.parameters())


def test_clipping_reaches_the_loop():
    free, clipped = (
        losses([tiny(train={"num_steps": 20, "batch_size": 16, "max_grad_norm": norm})])
        for norm in (None, 1e-3)
    )
    assert torch.equal(free[0], clipped[0])
    assert not torch.equal(free[5:], clipped[5:])


def test_an_epoch_shows_every_image_at_most_once_and_runs_shuffle_alone():
    configs = [tiny(seed=i, train={"num_steps": 74, "batch_size": 16}) for i in range(2)]
    dataset = load("digits", "none")
    seen = torch.stack([some[0] for some in batches(configs, dataset, torch.zeros(()))])
    assert seen.shape == (74, 2, 16, 64)
    first = seen[:, 0].flatten(0, 1)
    assert len(first.unique(dim=0)) == len(first)
    assert not torch.equal(seen[:, 0], seen[:, 1])
    again = torch.stack([some[0] for some in batches(configs[1:], dataset, torch.zeros(()))])
    assert torch.equal(again[:, 0], seen[:, 1])


def test_a_schedule_moves_the_hyperparameter():
    constant = tiny(objective={"name": "beta_elbo", "beta": 0.0})
    rising = msgspec.structs.replace(
        constant,
        objective=tiny(
            objective={"name": "beta_elbo", "beta": {"name": "linear", "stop": 4.0, "over": 1.0}}
        ).objective,
    )
    a, b = losses([constant]), losses([rising])
    assert torch.equal(a[0], b[0])  # the schedule starts at 0
    assert not torch.equal(a[-1], b[-1])
