"""Annealed importance sampling: weights that are right whatever the steps."""

import math

import pytest
import torch

from tests.support.families import within_error
from vaebench.diagnostics.certify.exact.linear_gaussian import exact_log_px
from vaebench.evaluation.likelihood import annealing
from vaebench.evaluation.likelihood.annealing import (
    AnnealingPlan,
    adapted_steps,
    backward,
    forward,
    num_transitions,
    temperatures,
)
from vaebench.evaluation.likelihood.hmc import Target
from vaebench.models.posteriors import Drawing
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

K = 20_000
NOISE = Noise((21,))


def target_of(model, x):
    return Target(model.prior().log_prob, lambda z: model.log_px_z(x[None], z))


def prior_codes(num_chains, num_rows, dim=3, step=900):
    return normals(NOISE.at(step=step), num_chains, num_rows, dim).double()


def posterior_codes(model, x, num_chains):
    """Exact ones: q is the true posterior."""
    return model.posterior(x[None]).draw(Drawing(NOISE.at(step=901), num_chains, densities)).z


def constant_steps(plan, num_rows, step):
    return torch.full((plan.num_temperatures - 1, 1, num_rows), step, dtype=torch.float64)


@pytest.mark.parametrize("step", [1e-9, 0.3, 1.7, 40.0])
@pytest.mark.parametrize("num_temperatures", [2, 5])
def test_weights_are_unbiased_whatever_the_steps(model, x, num_temperatures, step):
    """Steps that do not move, good ones, poor ones, and steps that are never accepted."""
    plan = AnnealingPlan(num_temperatures, K, 2)
    steps = constant_steps(plan, len(x), step)
    computed = forward(target_of(model, x), prior_codes(K, len(x)), steps, plan, NOISE)
    assert within_error((computed.log_w - exact_log_px(model, x)).exp(), 1.0)
    if step in (1e-9, 40.0):
        assert computed.acceptance.mean() == pytest.approx(float(step < 1), abs=1e-2)
    else:
        assert 0.1 < computed.acceptance.mean() < 0.999


@pytest.mark.parametrize("step", [0.3, 1.7])
def test_reversed_weights_are_unbiased_whatever_the_steps(model, x, step):
    """E[1 / w] = 1 / p(x), from exact samples of the posterior."""
    plan = AnnealingPlan(8, K, 2)
    steps = constant_steps(plan, len(x), step)
    computed = backward(target_of(model, x), posterior_codes(model, x, K), steps, plan, NOISE)
    assert within_error((exact_log_px(model, x) - computed.log_w).exp(), 1.0)


@pytest.mark.parametrize("num_temperatures", [3, 6])
def test_weights_under_adapted_steps_are_unbiased(model, x, num_temperatures):
    """Over 400 pilots, each with chains of its own: the pilot's noise is not in the weights."""
    rows, plan = 400, AnnealingPlan(num_temperatures, 50, 3)
    one = x[3:].expand(rows, -1)
    target = target_of(model, one)
    steps = adapted_steps(target, prior_codes(4, rows, step=902), plan, Noise((5,)))
    assert steps.shape == (num_temperatures - 1, 1, rows)
    assert steps.std() > 0.01
    computed = forward(target, prior_codes(50, rows), steps, plan, NOISE)
    assert within_error((computed.log_w - exact_log_px(model, one)).exp().flatten(), 1.0)


def test_the_constant_of_a_law_that_is_not_gaussian_is_found():
    """p(z) = N(0, 1) and a quartic with two modes; the integral by the trapezium rule."""

    def quartic(z):
        return (-2.0 * (z.square() - 1.5).square() + 0.7 * z).sum(-1)

    grid = torch.linspace(-9, 9, 100_001, dtype=torch.float64)
    density = (densities.standard_normal_log_prob(grid[:, None]) + quartic(grid[:, None])).exp()
    exact = torch.trapezoid(density, grid)
    target = Target(densities.standard_normal_log_prob, quartic)
    plan = AnnealingPlan(6, K, 4)
    computed = forward(target, prior_codes(K, 2, 1), constant_steps(plan, 2, 0.4), plan, NOISE)
    assert within_error(computed.log_w.exp() / exact, 1.0)


def test_steps_are_adapted_to_the_acceptance_that_is_wanted():
    """The posterior is 50 times narrower than the prior, whose scale the steps start from."""
    narrow = Target(
        densities.standard_normal_log_prob, lambda z: -1250.0 * (z - 0.5).square().sum(-1)
    )
    plan = AnnealingPlan(100, 16, 5)
    steps = adapted_steps(narrow, prior_codes(4, 50, 3), plan, Noise((5,)))
    computed = forward(narrow, prior_codes(16, 50, 3), steps, plan, NOISE)
    assert computed.acceptance.mean() == pytest.approx(0.65, abs=0.08)
    assert steps[-1].mean() < 0.1 * steps[0].mean()
    posterior = 0.5 + 0.02 * prior_codes(16, 50, 3, step=903)
    back = backward(narrow, posterior, steps, plan, NOISE)
    assert back.acceptance.mean() == pytest.approx(0.65, abs=0.08)


@pytest.mark.parametrize("num", [2, 7, 1000])
def test_temperatures_rise_from_0_to_1_and_are_dense_at_both_ends(num):
    computed = torch.tensor(temperatures(num), dtype=torch.float64)
    assert len(computed) == num + 1
    assert (computed[0], computed[-1]) == (0.0, 1.0)
    assert (computed.diff() > 0).all()
    torch.testing.assert_close(computed, 1.0 - computed.flip(0))
    if num == 1000:
        sigmoid = [1 / (1 + math.exp(-v)) for v in (-4.0, 4.0 * (2 * 0.3 - 1), 4.0)]
        assert float(computed[300]) == pytest.approx(
            (sigmoid[1] - sigmoid[0]) / (sigmoid[2] - sigmoid[0])
        )


def test_a_pilot_takes_as_many_transitions_as_it_says(model, x, monkeypatch):
    calls = []
    transition = annealing.transition
    monkeypatch.setattr(
        annealing, "transition", lambda *arguments: calls.append(1) or transition(*arguments)
    )
    for num in (2, 5, 250):
        calls.clear()
        steps = adapted_steps(
            target_of(model, x), prior_codes(2, len(x)), AnnealingPlan(num, 2, 1), NOISE
        )
        assert steps.shape[0] == num - 1
        assert len(calls) == num_transitions(num)
