"""A weight on the rate of each layer: one for all is that weight, and each counts for its own."""

from dataclasses import replace

import pytest
import torch

from tests.support.runs import isolated, run_config
from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.chain import linear_chain
from vaebench.diagnostics.certify.exact.linear_gaussian import draws, examples, replicas
from vaebench.diagnostics.certify.objectives.hyperparameters import loss_at
from vaebench.objectives import OBJECTIVES

SAMPLED = ["elbo_mc", "elbo_stl", "iwae", "dreg", "piwae", "cubo", "tvo"]
CLOSED = ["elbo", "beta_elbo", "free_bits_per_layer", "geco", "capacity_per_example"]
CASES = [*((name, "hierarchical") for name in SAMPLED), *((name, "ladder") for name in CLOSED)]


def terms_of(model, **weights):
    return replace(draws(model, examples(), 4), **weights)


@pytest.mark.parametrize(("name", "posterior"), CASES)
def test_one_weight_for_every_layer_is_that_weight_on_the_rate(name, posterior):
    model = replicas(linear_chain(1.0, posterior=posterior), 2, trained=True)
    numbers = []
    for weights in ({"rate_weight": 0.3}, {"layer_weights": (0.3, 0.3, 0.3)}):
        loss = loss_at(OBJECTIVES[name], terms_of(model, **weights))
        slopes = torch.autograd.grad(loss.sum(), [*model.parameters()], allow_unused=True)
        numbers.append([loss, *(slope for slope in slopes if slope is not None)])
    for ours, theirs in zip(*numbers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_each_weight_is_that_of_its_layer():
    up, down = (replicas(linear_chain(1.0, posterior=q), 2) for q in ("hierarchical", "ladder"))
    weights = (0.2, 1.5, 0.0)
    terms = terms_of(up, layer_weights=weights)
    log_p, log_q = terms.prior.log_prob_of_layers(terms.z), terms.q.log_prob_of_layers(terms.z)
    by_hand = 0.2 * (log_p[0] - log_q[0]) + 1.5 * (log_p[1] - log_q[1])
    torch.testing.assert_close(terms.log_w - terms.log_px_z, by_hand)
    torch.testing.assert_close(terms.log_w_path, terms.log_w)
    terms = terms_of(down, layer_weights=weights)
    first, second, _ = terms.kl_of_layers
    torch.testing.assert_close(terms.rate, 0.2 * first + 1.5 * second)
    torch.testing.assert_close(terms.kl_or_estimate, terms.kl_of_layers.sum(0))  # not weighted


def test_free_bits_of_layers_are_a_floor_for_each_by_its_mean_over_the_batch():
    terms = draws(replicas(linear_chain(1.0, posterior="ladder"), 2), examples(), 4)
    rates = terms.kl_of_layers.mean(-1)  # [L, S]
    floor = float(rates.median())
    loss = OBJECTIVES["free_bits_per_layer"](terms, floor=floor)
    kept = rates.clamp_min(floor).sum(0)
    assert (rates < floor).any() and (rates > floor).any()
    torch.testing.assert_close(loss, terms.distortion + kept[:, None])


def test_an_objective_that_weighs_the_rate_as_a_whole_is_refused():
    terms = terms_of(replicas(linear_chain(1.0), 1), layer_weights=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="a weight for each layer, and this objective weighs"):
        loss_at(OBJECTIVES["elbo_low_variance"], terms)


def test_runs_of_a_stack_have_weights_and_schedules_of_layers_of_their_own():
    def of_run(seed, upper):
        codes = {"posterior": "ladder", "prior": "hierarchical"}
        return run_config("elbo", **codes, seed=seed, rate_weight=[1.0, upper])

    configs = [of_run(0, 0.5), of_run(1, {"name": "linear", "over": 0.5}), of_run(2, 2.0)]
    assert len({config.stack_key for config in configs}) == 1
    assert isolated(configs)
