"""Foretold costs: counted operations over given rates."""

import pytest

from tests.support.runs import run_config
from vaebench.reproduction.cost import Core, duration, run_s, total_s
from vaebench.running.choosing import SAVED_PER_STEP
from vaebench.running.work import step_work


@pytest.mark.parametrize(
    "seconds, words",
    [(0.4, "0.4 s"), (89.0, "89 s"), (120.0, "2 min"), (7200.0, "2 h"), (864000.0, "10 days")],
)
def test_durations_are_in_the_unit_that_people_would_say(seconds, words):
    assert duration(seconds) == words


def test_a_run_costs_its_steps_and_the_samples_of_its_grade():
    config = run_config(num_steps=100)
    step = step_work(config)
    # One rate infinite leaves the other alone: decoder 2-8-64, of its weights and biases.
    of_products = run_s(config, Core(1.0, float("inf")))
    weights = 2 * 8 + 8 + 8 * 64 + 64
    num_samples = config.evaluate.num_samples * (360 + 240)
    assert of_products == pytest.approx(100 * step.flops + 2 * weights * num_samples)
    of_writes = run_s(config, Core(float("inf"), 1.0))
    assert of_writes == pytest.approx(100 * step.elements + 64 * num_samples)


def test_runs_of_a_stack_share_the_dispatch_of_its_steps():
    configs = [run_config(num_steps=100, seed=seed) for seed in range(3)]
    core = Core(1e9, 1e9)
    expected = 100 * SAVED_PER_STEP + 3 * run_s(configs[0], core)
    assert total_s(configs, core) == pytest.approx(expected)
