"""What a step draws with its samples changes how it is computed, and nothing else."""

import pytest
import torch

from tests.support.runs import run_config
from vaebench.config.build import build_stack
from vaebench.models import Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.priors import PRIORS
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise

K, B = 4, 6
X = (torch.rand(2, B, 64, generator=torch.Generator().manual_seed(0)) < 0.3).double()
WANTED = {
    "elbo": "kl",
    "beta_tc": "log_qz_x",
    "reconstruction_only": "kl",
    "elbo_mc": "log_qz_x",
    "elbo_low_variance": "log_qz_x",
    "iwae": "log_qz_x",
    "elbo_stl": "log_qz_x_path",
    "dreg": "log_qz_x_path",
    "piwae": "log_qz_x_path",
    "cubo": "log_qz_x_path",
}


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


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_drawn_in_one_pass_is_what_is_computed_apart(name):
    loss, gradients, terms = step(name, "kl")
    again, same_gradients, fused = step(name, terms.wanted)
    torch.testing.assert_close(loss, again)
    for a, b in zip(gradients, same_gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert fused.wanted == terms.wanted


@pytest.mark.parametrize("name", WANTED)
def test_the_loss_tells_what_it_wants_drawn(name):
    _, _, terms = step(name, "kl")
    assert terms.wanted == WANTED[name]
    _, _, fused = step(name, WANTED[name])
    assert (fused.drawn.kl_to_standard_normal is None) == (WANTED[name] != "kl")


def test_another_prior_is_not_mistaken_for_the_one_that_is_drawn():
    family = Family(
        LIKELIHOODS["bernoulli"], prior=PRIORS["mixture_of_gaussians"], latent=Latent(3)
    )
    model = build("mlp", family, image_shape=(8, 8), widths=(), noise=Noise((1, 2))).double()
    terms = compute_terms(model, X, Noise((1, 2)), num_samples=K, wanted="log_qz_x")
    torch.testing.assert_close(terms.log_pz, model.prior().log_prob(terms.z))
    assert terms.drawn.log_standard_normal is None
