"""Adam as the loop starts it: each run's average of squared gradients where its setting says."""

import pytest
import torch

from tests.support.runs import run_config, steps_of
from vaebench.ops import c

STARTS = (1.0, 0.0, 0.25)
RATE, BETA1, BETA2, EPSILON = 1e-2, 0.99, 0.999, 1e-4


def by_hand(weights, first, second, gradient, count):
    """One step (Kingma & Ba 2015, algorithm 1): the next three."""
    first = BETA1 * first + (1 - BETA1) * gradient
    second = BETA2 * second + (1 - BETA2) * gradient**2
    mean, square = first / (1 - BETA1**count), second / (1 - BETA2**count)
    return weights - RATE * mean / (square.sqrt() + EPSILON), first, second


@pytest.mark.parametrize("in_c", [True, False])
def test_the_second_moment_starts_where_it_is_told(monkeypatch, in_c):
    """With betas and epsilon of the code of Burda et al. 2016; beside runs that start elsewhere."""
    if not in_c:
        monkeypatch.setattr(c, "library", lambda: None)
    settings = {"learning_rate": RATE, "beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON}
    configs = [run_config(seed=i, second_moment=v, **settings) for i, v in enumerate(STARTS)]
    model, steps = steps_of(configs)
    values = [p.detach().double() for p in model.parameters()]
    starts = [torch.tensor(STARTS).view(-1, *[1] * (v.dim() - 1)).expand_as(v) for v in values]
    states = [(v, torch.zeros_like(v), s.double()) for v, s in zip(values, starts, strict=True)]
    for count, _ in enumerate(steps, start=1):
        gradients = [p.grad.double() for p in model.parameters()]
        states = [by_hand(*s, g, count) for s, g in zip(states, gradients, strict=True)]
    for parameter, start, (expected, *_) in zip(model.parameters(), values, states, strict=True):
        moved = parameter.detach().double() - start
        torch.testing.assert_close(moved, expected - start, rtol=1e-4, atol=1e-7)
        assert (moved[0].abs() < 0.2 * RATE).all()
        assert (moved[1].abs() > 0.2 * RATE).any()


def test_the_setting_is_left_out_where_it_is_usual():
    plain, usual, other = run_config(), run_config(second_moment=0.0), run_config(second_moment=1.0)
    assert plain.id == usual.id != other.id
    assert plain.stack_key == other.stack_key
    assert "train.second_moment" not in plain.settings
    assert other.settings["train.second_moment"] == "1.0"
