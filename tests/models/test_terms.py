"""What a step draws with its samples changes how it is computed, and nothing else."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from tests.support.runs import run_config
from vaebench.config.build import build_stack
from vaebench.models import Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.posteriors.entry import Wanted
from vaebench.models.priors import PRIORS
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise

K, B = 4, 6
X = (torch.rand(2, B, 64, generator=torch.Generator().manual_seed(0)) < 0.3).double()


def step(name, wanted):
    """Loss, gradients and what was asked of the terms, in float64."""
    entry = OBJECTIVES[name]
    model = build_stack([run_config(name, seed=seed) for seed in (0, 1)], (8, 8)).double()
    terms = compute_terms(model, X, Noise((1, 2)), num_samples=K, training=True, wanted=wanted)
    hyper = dict(run_config(name).objective.hyper)
    loss = entry(terms, **(hyper | {n: int(hyper[n]) for n in entry.counts}))
    gradients = torch.autograd.grad(
        loss.sum(), list(model.main_parameters()), materialize_grads=True
    )
    return loss, gradients, terms


@pytest.mark.parametrize("wanted", get_args(Wanted))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_drawn_with_the_samples_changes_neither_loss_nor_gradient(name, wanted):
    """So an objective that declares nothing, or the wrong thing, is right, and only slower."""
    loss, gradients, _ = step(name, OBJECTIVES[name].draws)
    again, same_gradients, _ = step(name, wanted)
    torch.testing.assert_close(loss, again)
    for a, b in zip(gradients, same_gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("wanted", get_args(Wanted))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_declares_what_its_loss_asks_of_the_samples(name, wanted):
    _, _, terms = step(name, wanted)
    asked = {"log_qz_x", "log_qz_x_path"} & vars(terms).keys()
    assert asked == {OBJECTIVES[name].draws} - {"kl"}


@pytest.mark.parametrize("rate_weight", [0.3, torch.tensor([[0.3], [0.7]], dtype=torch.float64)])
def test_the_weight_on_the_rate_is_of_each_run(rate_weight):
    terms = replace(step("elbo", "kl")[2], rate_weight=rate_weight)
    torch.testing.assert_close(terms.rate, rate_weight * terms.kl)
    torch.testing.assert_close(terms.rate_per_dimension.sum(-1), terms.rate)
    torch.testing.assert_close(terms.log_w - terms.log_px_z, rate_weight * terms.log_ratio)


def test_another_prior_is_not_mistaken_for_the_one_that_is_drawn():
    family = Family(
        LIKELIHOODS["bernoulli"], prior=PRIORS["mixture_of_gaussians"], latent=Latent(3)
    )
    model = build("mlp", family, image_shape=(8, 8), widths=(), noise=Noise((1, 2))).double()
    terms = compute_terms(model, X, Noise((1, 2)), num_samples=K, wanted="log_qz_x")
    torch.testing.assert_close(terms.log_pz, model.prior().log_prob(terms.z))
    assert terms.drawn.log_standard_normal is None
