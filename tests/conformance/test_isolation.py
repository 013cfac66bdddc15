"""A run in a stack is the run alone, whatever it is made of and whatever its mates are.

Losses alone do not show a wrongly scaled gradient, which Adam hides: norms are compared as well.
"""

import dataclasses

import pytest
import torch

from tests.support.runs import (
    NUM_STEPS,
    close,
    isolated,
    pairs,
    run_config,
    sampled,
    steps_of,
    trace,
    two_values,
)
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.objectives import OBJECTIVES

# ------------------------------------------------------------------ a stack and its runs alone


def three_runs(*parts, **more):
    return [run_config(*parts, seed=seed, **more) for seed in (0, 1, 1)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_stacked_is_alone(objective):
    assert isolated(three_runs(objective))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_every_likelihood_stacked_is_alone(objective, likelihood):
    """Not with every objective, of which each sees a likelihood as the one number log p(x|z)."""
    assert isolated(three_runs(objective, likelihood))


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_every_posterior_and_prior_stacked_are_alone(posterior, prior):
    assert isolated(three_runs(sampled(posterior), posterior=posterior, prior=prior))


def test_the_check_sees_an_objective_that_mixes_runs(monkeypatch):
    elbo = OBJECTIVES["elbo"]

    def mixed(terms):
        loss = elbo.loss(terms)
        return loss.mean(0, keepdim=True).expand_as(loss)

    monkeypatch.setitem(OBJECTIVES._entries, "elbo", dataclasses.replace(elbo, loss=mixed))
    assert not isolated([run_config(seed=seed) for seed in (0, 1)])


def linear(**points):
    return {"name": "linear", "over": 1.0, **points}


PAIRS = {
    "clipping": [{"max_grad_norm": limit} for limit in (0.5, 2.0)],
    "clipping or none": [{"max_grad_norm": limit} for limit in (0.5, None)],
    "rate weight": [{"rate_weight": w} for w in (0.1, 3.0)],
    "rate weight schedule": [{"rate_weight": w} for w in (0.4, linear(stop=2.0))],
    "learning rate": [{"learning_rate": rate} for rate in (1e-3, 1e-2)],
    "beta schedule": [{"objective": {"name": "beta_elbo", "beta": b}} for b in (4.0, linear())],
    "temperature schedule": [
        {"posterior": {"name": "categorical", "temperature": t}, "prior": "uniform_categorical"}
        for t in (1.0, linear(start=2.0, stop=0.2))
    ],
}
"""What two runs of one stack, of one seed, differ in."""


for _kind, _registry in (
    ("objective", OBJECTIVES),
    ("likelihood", LIKELIHOODS),
    ("posterior", POSTERIORS),
):
    for _name, _entry in _registry.items():
        _codes = {"prior": "uniform_categorical"} if _kind == "posterior" else {}
        PAIRS |= {
            f"{_name}: {_scalar}": [
                {_kind: {"name": _name, _scalar: value}, **_codes} for value in two_values(_hyper)
            ]
            for _scalar, _hyper in _entry.hyper.items()
            if not _hyper.integer
        }


def test_the_scalars_of_every_registry_are_there():
    named = {"gaussian: sigma", "renyi: alpha", "geco: target", "gumbel_softmax: temperature"}
    assert named <= PAIRS.keys()


@pytest.mark.parametrize("what", PAIRS)
def test_each_run_has_its_own_scalars(what):
    """One seed: without their own scalar the two would be equal."""
    configs = [run_config(seed=3, **changes) for changes in PAIRS[what]]
    assert configs[0].stack_key == configs[1].stack_key
    first, second = (trace([config]) for config in configs)
    assert not close(first, second)
    assert isolated(configs)
    assert isolated(configs[::-1])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_rate_weight_follows_its_schedule(likelihood):
    config = run_config("elbo", likelihood, rate_weight=linear(start=0.5, stop=1.5))
    for step in steps_of([config])[1]:
        weight = 0.5 + step.index / NUM_STEPS
        expected = (weight * step.terms.kl - step.terms.log_px_z.mean(0)).mean(-1)
        torch.testing.assert_close(step.loss, expected)
