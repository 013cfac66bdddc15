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


REFUSED = {
    "over 0": ("linear", {"over": 0.0}, r"over must be finite, in \[1e-06, 1\]; got 0"),
    "over 2": ("linear", {"over": 2.0}, "over must be"),
    "middle": ("sigmoid", {"middle": -0.1}, "middle must be"),
    "width": ("sigmoid", {"width": 0.0}, "width must be"),
    "no cycle": ("cyclical", {"cycles": 0}, "cycles must be"),
    "half a cycle": ("cyclical", {"cycles": 1.5}, "cycles must be a whole number; got 1.5"),
    "rising": ("cyclical", {"rising": 1.1}, "rising must be"),
    "unknown": ("cyclical", {"cycle": 2}, "did you mean 'cycles'"),
    "no number": ("linear", {"over": {"name": "linear"}}, "parameters of a schedule must be numb"),
    "not finite": ("linear", {"stop": math.inf}, "stop must be finite"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_parameters_out_of_range_are_refused(what):
    name, parameters, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        run_config(rate_weight={"name": name, **parameters})


@pytest.mark.parametrize("name", SCHEDULES)
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
    assert len(set(curve)) > 3
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
