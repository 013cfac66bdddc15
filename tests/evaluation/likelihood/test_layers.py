"""Gradings of the likelihood on layers of latents, against the exact log p(x) of chains."""

import pytest
import torch

from vaebench.diagnostics.certify.exact.chain import exact_log_px, linear_chain
from vaebench.diagnostics.certify.exact.linear_gaussian import examples
from vaebench.evaluation.likelihood.annealed import of_images, simulated
from vaebench.evaluation.likelihood.annealing import AnnealingPlan
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.evaluation.likelihood.gaps import refined
from vaebench.ops.adam import AdamScalars
from vaebench.ops.noise import Noise

NOISE, X = Noise((3,)), examples()
PLAN = AnnealingPlan(num_temperatures=60, num_chains=16, num_leapfrog=4)
POSTERIORS = pytest.mark.parametrize("posterior", ["hierarchical", "ladder"])


@POSTERIORS
def test_the_importance_weighted_bound_is_exact_at_the_true_posterior(posterior):
    """And for a wrong one between the ELBO and log p(x)."""
    right, wrong = (linear_chain(w, posterior=posterior) for w in (0.0, 1.0))
    exact = exact_log_px(right, X)
    torch.testing.assert_close(-bounds(right, X, NOISE, num_samples=5).nll[0], exact)
    graded = bounds(wrong, X, NOISE, num_samples=2000)
    assert (graded.mean_log_w[0] < -graded.nll[0]).all()
    torch.testing.assert_close(-graded.nll[0], exact, rtol=0.0, atol=0.1)


def test_annealed_importance_sampling_walks_all_layers():
    """Its bound is log p(x), up to the spread of its chains; on images of the model the two bounds
    of bidirectional Monte Carlo hold it between them."""
    model = linear_chain(1.0)
    z, x = simulated(model, NOISE.named("images"), 6)
    bracket, exact = of_images(model, x, NOISE, PLAN, z), exact_log_px(model, x[0])
    assert z.shape == (1, 6, 6)
    for bound, variance in zip(
        (bracket.lower, bracket.upper), (bracket.variance, bracket.upper_variance), strict=True
    ):
        assert ((bound - exact).abs() < 4.5 * variance.sqrt() + 0.02).all()
        assert (variance < 0.1).all()


@POSTERIORS
def test_the_refined_numbers_of_an_example_raise_its_bound(posterior):
    """The encoder's numbers move z_1, and in a ladder every layer; the conditionals stay."""
    model = linear_chain(1.0, posterior=posterior)
    best = refined(model, X, NOISE, 60, AdamScalars(0.05))
    before, after = (
        bounds(model, X, NOISE, num_samples=500, numbers=numbers).mean_log_w
        for numbers in (None, best)
    )
    assert (after > before).all()
    if posterior == "ladder":
        torch.testing.assert_close(after[0], exact_log_px(model, X), rtol=0.0, atol=0.02)
