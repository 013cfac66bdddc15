"""Schedules: exact values, refused parameters, and a loop that follows them."""

import dataclasses
import functools
import math

import pytest
import torch

from tests.support.runs import NUM_STEPS, run_config, steps_of, two_values
from vaebench.config.schedules import SCHEDULES, cyclical, linear, sigmoid
from vaebench.core.errors import InputError
from vaebench.objectives import OBJECTIVES
from vaebench.training.descent import Descent
from vaebench.training.scalars import adam_scalars

FROM_1_TO_3 = {"start": 1.0, "stop": 3.0}


@pytest.mark.parametrize(("progress", "value"), [(0.0, 1.0), (0.1, 2.0), (0.2, 3.0), (0.9, 3.0)])
def test_linear_rises_then_stays(progress, value):
    assert linear(progress, start=1.0, stop=3.0, over=0.2) == pytest.approx(value)


def test_defaults_are_a_warm_up_from_0_to_1():
    assert SCHEDULES["linear"](0.0) == 0.0
    assert SCHEDULES["linear"](1.0) == 1.0


@pytest.mark.parametrize(
    ("progress", "share"),
    [(0.3, 0.5), (0.3 + 0.1 * math.log(3), 0.75), (0.3 - 0.1 * math.log(4), 0.2), (1.0, 0.99909)],
)
def test_sigmoid_is_the_logistic_curve(progress, share):
    computed = sigmoid(progress, **FROM_1_TO_3, middle=0.3, width=0.1)
    assert computed == pytest.approx(1.0 + 2.0 * share, abs=1e-5)


def test_the_steepest_sigmoid_is_a_step():
    computed = [sigmoid(p, **FROM_1_TO_3, middle=0.5, width=1e-6) for p in (0.0, 0.499, 0.501, 1.0)]
    assert computed == [1.0, 1.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("progress", "value"),
    [(0.0, 1.0), (0.05, 2.0), (0.1, 3.0), (0.2, 3.0), (0.25, 1.0), (0.3, 2.0), (0.76, 1.2), (1, 3)],
)
def test_cyclical_rises_and_stays_in_every_cycle(progress, value):
    computed = cyclical(progress, **FROM_1_TO_3, cycles=4, rising=0.4)
    assert computed == pytest.approx(value)


def by_torch(num_steps, base, *schedulers):
    """The learning rates of PyTorch's schedulers, each of (optimiser) -> one, step by step."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    started = [make(optimiser) for make in schedulers]
    rates = []
    for _ in range(num_steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        for scheduler in started:
            scheduler.step()
    return rates


def ours(name, num_steps, **parameters):
    return [SCHEDULES[name](step / num_steps, **parameters) for step in range(num_steps)]


EXACT = {"rel": 1e-12, "abs": 0.0}
of_torch = torch.optim.lr_scheduler


def test_the_cosine_is_that_of_torch():
    cosine_of = functools.partial(of_torch.CosineAnnealingLR, T_max=50, eta_min=0.01)
    expected = by_torch(50, 0.3, cosine_of)  # by a recurrence, which adds up roundings
    assert ours("cosine", 50, start=0.3, stop=0.01) == pytest.approx(expected, rel=1e-10)


def test_a_warm_up_and_then_a_cosine_is_that_of_torch():
    def both(optimiser):
        rising = of_torch.LambdaLR(optimiser, lambda step: min(1.0, step / 10))
        falling = of_torch.CosineAnnealingLR(optimiser, T_max=40)
        return of_torch.SequentialLR(optimiser, [rising, falling], milestones=[10])

    computed = ours("cosine", 50, start=0.3, warm_up=0.2)
    assert computed == pytest.approx(by_torch(50, 0.3, both), rel=1e-10, abs=1e-17)
    assert computed[0] == 0.0
    assert computed[10] == 0.3


def test_a_linear_warm_up_is_that_of_torch():
    rising = functools.partial(of_torch.LinearLR, start_factor=0.25, total_iters=20)
    computed = ours("linear", 50, start=0.1, stop=0.4, over=0.4)
    assert computed == pytest.approx(by_torch(50, 0.4, rising), rel=1e-10)


@pytest.mark.parametrize("used", [(30,), (25, 40), (15, 25, 35)])
def test_milestones_are_those_of_torch(used):
    falling = functools.partial(of_torch.MultiStepLR, milestones=used, gamma=0.1)
    at = dict.fromkeys(("first", "second", "third"), 1.0)
    at |= {name: step / 50 for name, step in zip(at, used, strict=False)}
    computed = ours("milestones", 50, start=0.3, stop=0.3 * 0.1 ** len(used), **at)
    assert computed == pytest.approx(by_torch(50, 0.3, falling), **EXACT)


@pytest.mark.parametrize("steps_per_pass", [1, 7])
def test_tripling_is_the_schedule_of_the_iwae_paper(steps_per_pass):
    """0.001 * 10^(-i/7) for 3^i passes, i = 0 ... 7: 3280 passes, whatever a pass has of steps."""
    rates = [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i * steps_per_pass)]
    assert len(rates) == 3280 * steps_per_pass
    assert ours("tripling", len(rates)) == pytest.approx(rates, **EXACT)
    ends = [sum(3**i for i in range(n)) * steps_per_pass for n in range(1, 8)]
    falling = functools.partial(of_torch.MultiStepLR, milestones=ends, gamma=10 ** (-1 / 7))
    assert by_torch(len(rates), 1e-3, falling) == pytest.approx(rates, rel=1e-12)


REFUSED = {
    "over 0": ("linear", {"over": 0.0}, r"over must be finite, in \[1e-06, 1\]; got 0"),
    "over 2": ("linear", {"over": 2.0}, "over must be"),
    "middle": ("sigmoid", {"middle": -0.1}, "middle must be"),
    "width": ("sigmoid", {"width": 0.0}, "width must be"),
    "no cycle": ("cyclical", {"cycles": 0}, "cycles must be"),
    "half a cycle": ("cyclical", {"cycles": 1.5}, "cycles must be a whole number; got 1.5"),
    "rising": ("cyclical", {"rising": 1.1}, "rising must be"),
    "start at 0": ("milestones", {"start": 0.0}, r"start must be finite, in \[1e-30, inf\]; got 0"),
    "two stages": ("tripling", {"stages": 1}, "stages must be"),
    "unknown": ("cyclical", {"cycle": 2}, "did you mean 'cycles'"),
    "no number": ("linear", {"over": {"name": "linear"}}, "parameters of a schedule must be numb"),
    "not finite": ("linear", {"stop": math.inf}, "stop must be finite"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_parameters_out_of_range_are_refused(what):
    name, parameters, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        run_config(rate_weight={"name": name, **parameters})


@pytest.mark.parametrize("name", [n for n, s in SCHEDULES.items() if s.hyper["start"].low < 0.0])
def test_values_out_of_range_at_any_time_are_refused(name):
    with pytest.raises(InputError, match=r"beta must be finite, in \[0, inf\]; got -"):
        run_config({"name": "beta_elbo", "beta": {"name": name, "start": -1.0, "stop": 1.0}})


# ------------------------------------------------------------------ the loop


SCALARS = [
    (objective, name)
    for objective, entry in OBJECTIVES.items()
    for name, hyper in entry.hyper.items()
    if not hyper.integer
]
COUNTS = [(objective, name) for objective, entry in OBJECTIVES.items() for name in entry.counts]


def received(monkeypatch, objective):
    """A list that fills with what the objective is called with, step by step."""
    entry, calls = OBJECTIVES[objective], []

    @functools.wraps(entry.loss)
    def loss(terms, **scalars):
        calls.append(scalars)
        return entry.loss(terms, **scalars)

    monkeypatch.setitem(OBJECTIVES._entries, objective, dataclasses.replace(entry, loss=loss))
    return calls


@pytest.mark.parametrize(("objective", "name"), SCALARS)
def test_every_scalar_of_every_objective_follows_a_schedule(monkeypatch, objective, name):
    """Beside a run in the same stack for which it is constant."""
    start, stop = two_values(OBJECTIVES[objective].hyper[name])
    rising = {"name": "linear", "start": start, "stop": stop, "over": 1.0}
    configs = [run_config({"name": objective, name: value}) for value in (rising, stop)]
    calls = received(monkeypatch, objective)
    for _ in steps_of(configs)[1]:
        pass
    expected = [[[start + (stop - start) * i / NUM_STEPS], [stop]] for i in range(NUM_STEPS)]
    torch.testing.assert_close(torch.stack([call[name] for call in calls]), torch.tensor(expected))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_loop_follows_every_schedule(monkeypatch, schedule):
    ends = {"start": 0.5, "stop": 2.0}
    calls = received(monkeypatch, "beta_elbo")
    objective = {"name": "beta_elbo", "beta": {"name": schedule, **ends}}
    assert len(list(steps_of([run_config(objective, num_steps=20)])[1])) == 20
    curve = [SCHEDULES[schedule](i / 20, **ends) for i in range(20)]
    assert len(set(curve)) >= 3
    betas = torch.cat([call["beta"] for call in calls])[:, 0]
    torch.testing.assert_close(betas, torch.tensor(curve))


@pytest.mark.parametrize(("objective", "name"), COUNTS)
def test_whole_numbers_are_whole_and_have_no_schedule(monkeypatch, objective, name):
    with pytest.raises(InputError, match=f"{name} is a whole number, which has no schedule"):
        run_config({"name": objective, name: {"name": "linear", "start": 1.0, "stop": 2.0}})
    calls = received(monkeypatch, objective)
    next(steps_of([run_config({"name": objective, name: 1})])[1])
    assert calls[0][name] == 1
    assert isinstance(calls[0][name], int)


def test_the_temperature_follows_a_schedule():
    falling = {"name": "linear", "start": 2.0, "stop": 1.0, "over": 1.0}
    codes = {"name": "gumbel_softmax", "temperature": falling}
    config = run_config("elbo", posterior=codes, prior="uniform_categorical")
    computed = [float(step.terms.q.temperature) for step in steps_of([config])[1]]
    assert computed == pytest.approx([2.0, 1.8, 1.6, 1.4, 1.2])


# ------------------------------------------------------------------ the learning rate


FALLING = {"name": "cosine", "start": 3e-3, "stop": 1e-4}


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("cosin", "did you mean 'cosine'"),
        ({"name": "cosine", "begin": 1.0}, "no hyperparameter 'begin'"),
        (
            {"name": "linear", "start": -1.0, "stop": 0.1},
            r"train.learning_rate must be finite, in \[0, inf\]",
        ),
        ("linear", "must have both ends; schedule 'linear' goes to a weight of 1"),
        (
            {"name": "linear", "start": 1e-5},
            r"both ends; .* give start and stop, as in \{na",
        ),
        ({"name": "sigmoid", "start": 0.0}, "must have both ends; schedule 'sigmoid'"),
        (0.0, "train.learning_rate must be a number above 0; got 0"),
        ([1e-3, 1e-4], r'several values are an axis: \[axes\] "train.learning_rate"'),
    ],
)
def test_a_learning_rate_that_is_none_is_refused(rate, message):
    with pytest.raises(InputError, match=message):
        run_config(learning_rate=rate)


def test_a_scheduled_learning_rate_is_in_id_and_settings_and_stacks_with_any():
    plain, scheduled = run_config(), run_config(learning_rate=FALLING)
    assert scheduled.id != plain.id
    assert scheduled.id != run_config(learning_rate=FALLING | {"stop": 2e-4}).id
    assert scheduled.stack_key == plain.stack_key
    assert scheduled.settings["train.learning_rate"] == "cosine(start=0.003,stop=0.0001)"
    assert run_config(learning_rate="cosine").train.learning_rate.hyper["start"] == 1e-3


def test_every_step_has_the_rate_of_its_schedule_run_by_run():
    """Adam moves a number whose gradient is always 1 by the learning rate."""
    rates = [FALLING, 1e-2, {"name": "cosine", "start": 1e-2, "warm_up": 0.5}]
    configs = [run_config(learning_rate=rate, num_steps=8) for rate in rates]
    model, _ = steps_of(configs)
    start = [p.detach().clone() for p in model.parameters()]
    limits = torch.full((3,), math.inf)
    descent = Descent(model, adam_scalars(configs), limits)
    for step in range(8):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        descent(step)
    moved = torch.tensor(
        [
            sum(ours("cosine", 8, start=3e-3, stop=1e-4)),
            8e-2,
            sum(ours("cosine", 8, start=1e-2, warm_up=0.5)),
        ]
    )
    for parameter, was in zip(model.parameters(), start, strict=True):
        by_run = (was - parameter.detach()).flatten(1).mean(1)
        torch.testing.assert_close(by_run, moved, rtol=1e-4, atol=0.0)
