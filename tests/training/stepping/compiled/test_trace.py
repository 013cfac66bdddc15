"""The traced step, run operation by operation: the numbers of the eager one, for every entry."""

import pytest
import torch

from tests.support.compiling import EXACT, NUM_STEPS, beta, geco, linear, two_runs
from tests.support.graphs import OF_COMPILING, Interpreted, assert_alike, by, graph_of, history
from tests.support.runs import pairs, run_config, sampled, small, step_by_step, two_values
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.objectives import OBJECTIVES
from vaebench.training.stepping.compiled.trace import trace_step
from vaebench.training.stepping.eager import EagerStep, eager

pytestmark = [*OF_COMPILING, pytest.mark.slow]


ROUNDED = {"rtol": 1e-4, "atol": 1e-4}
"""In float32, after ten steps of Adam, which divides small differences by small gradients."""


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_graph_of_every_objective_serves_stacks_of_other_scalars(name):
    """All values of the stack that it was traced for are others, or one for both runs."""
    scalars = {n: h for n, h in OBJECTIVES[name].hyper.items() if not h.integer}
    ends = [{n: two_values(h)[end] for n, h in scalars.items()} for end in (0, 1)]
    traced, served = (
        [
            run_config({"name": name, **hyper}, seed=seed, num_steps=NUM_STEPS)
            for seed, hyper in stack
        ]
        for stack in [((7, ends[1]), (8, ends[1])), ((0, ends[0]), (1, ends[1]))]
    )
    graph = graph_of(traced)
    assert_alike(history(served, eager), history(served, by(graph)), **EXACT)


def test_a_graph_that_was_traced_for_constants_takes_schedules():
    traced, served = (
        [run_config(**beta(value), rate_weight=weight, num_steps=NUM_STEPS, seed=1)] * 2
        for value, weight in ((2.0, 0.5), (linear(stop=4.0), linear()))
    )
    graph = graph_of(traced)
    assert_alike(history(served, eager), history(served, by(graph)), **EXACT)


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_every_posterior_and_prior_are_traced(posterior, prior):
    """With prior draws too, where the objective compares aggregates."""
    for name in (sampled(posterior), "wae_mmd"):
        configs = two_runs(name, posterior=posterior, prior=prior)
        assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_is_traced(likelihood):
    configs = two_runs("elbo", likelihood)
    assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


@pytest.mark.parametrize("likelihood", [n for n, entry in LIKELIHOODS.items() if entry.fitted])
def test_what_is_fitted_in_closed_form_is_kept(likelihood):
    """Running values, in float64 whatever the model: the graph moves them in place."""
    configs = two_runs("elbo", likelihood)
    plain, traced = (history(configs, make, torch.float32) for make in (eager, Interpreted))
    assert_alike(plain, traced, **ROUNDED)
    for name in LIKELIHOODS[likelihood].fitted:
        assert (traced.tensors[f"fitted.of_{name}"] != 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_traced(name):
    configs = two_runs(model=small(name))
    assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


def temperature(value):
    posterior = {"name": "gumbel_softmax", "temperature": value}
    return {"posterior": posterior, "prior": "uniform_categorical"}


SCHEDULED = {
    "rate weight": [{"rate_weight": linear()}] * 2,
    "rate weight of one run": [{"rate_weight": 0.4}, {"rate_weight": linear(stop=2.0)}],
    "hyperparameter": [beta(linear(stop=4.0)), beta(linear(start=4.0, stop=1.0))],
    "hyperparameter of one run": [beta(4.0), beta(linear(stop=4.0))],
    "temperature": [temperature(linear(start=2.0, stop=0.2)), temperature(0.7)],
    "state": [geco(0.05), geco(linear(start=0.1, stop=0.01))],
}
"""What the two runs of a stack have for scalars."""


@pytest.mark.parametrize("what", SCHEDULED)
def test_scalars_that_move_reach_the_graph(what):
    configs = [run_config(seed=3, num_steps=NUM_STEPS, **more) for more in SCHEDULED[what]]
    traced = history(configs, Interpreted)
    assert_alike(history(configs, eager), traced, **EXACT)
    if SCHEDULED[what][0] != SCHEDULED[what][1]:
        assert not torch.allclose(traced.losses[-1, 0], traced.losses[-1, 1])
    if what == "state":
        multipliers = torch.stack([state["multiplier"] for state in traced.states])
        assert not torch.allclose(multipliers[0], multipliers[-1])


class Untouched:
    """Traces at each step, and keeps what there was before and after."""

    def __init__(self, model, loss):
        self.model, self.loss, self.eager = model, loss, EagerStep(model, loss)

    def __call__(self, x, noise, scalars):
        inputs, before = (x.clone(), noise, str(scalars)), self._tensors()
        trace_step(self.model, self.loss, x, noise, scalars)
        torch.testing.assert_close(self._tensors(), before, rtol=0.0, atol=0.0)
        assert torch.equal(x, inputs[0])
        assert (noise, str(scalars)) == inputs[1:]
        assert noise.source is None
        return self.eager(x, noise, scalars)

    def _tensors(self):
        model = self.model
        assert all(p.requires_grad and p.is_leaf for p in model.parameters())
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        return [{n: t.clone() for n, t in model.state_dict().items()}, gradients]


@pytest.mark.parametrize(
    ("objective", "likelihood"),
    [("elbo", "gaussian_optimal"), ("geco", "bernoulli"), ("factor_vae", "bernoulli")],
)
def test_tracing_changes_nothing(objective, likelihood):
    configs = [run_config(objective, likelihood, seed=seed, num_steps=3) for seed in (0, 1)]
    makes = eager, step_by_step(Untouched)
    plain, traced = (history(configs, make, torch.float32) for make in makes)
    assert_alike(plain, traced, rtol=0.0, atol=0.0)
