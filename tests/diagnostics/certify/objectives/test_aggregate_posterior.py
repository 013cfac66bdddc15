"""The exact aggregate posterior, and what tells a wrong objective of it from a right one."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad
from torch.distributions import MultivariateNormal, kl_divergence

from vaebench.diagnostics.certify import check_aggregate
from vaebench.diagnostics.certify.exact.gaussian_population import LARGE, SMALL, minibatches
from vaebench.diagnostics.certify.objectives.aggregate_posterior import ExactCritic, aggregate
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, covariance, mmd, total_correlation
from vaebench.objectives.entry import Auxiliary
from vaebench.ops import densities

PENALISING = [name for name, entry in OBJECTIVES.items() if entry.penalises]


def failing(objective):
    return {finding.fact for finding in check_aggregate(objective) if not finding.holds}


def is_told(objective, *facts):
    """Whether these facts fail; checks no further than the last of them."""
    left = set(facts)
    for finding in check_aggregate(objective):
        if not finding.holds:
            left -= {finding.fact}
        if not left:
            return True
    return False


# ------------------------------------------------------------------ the closed forms


@pytest.fixture
def q():
    return aggregate(100)


def marginal(q):
    return MultivariateNormal(q.mean, q.covariance)


def test_the_rate_is_the_sum_of_its_three_parts(q):
    """Chen et al. 2018, eq. 2."""
    parts = q.mutual_information, q.total_correlation, q.dimension_kl
    assert q.rate == pytest.approx(sum(parts), abs=1e-12)
    numbers = sorted([q.rate, *parts, *(a + b for a, b in pairwise(parts))])
    assert min(b - a for a, b in pairwise(numbers)) > 0.1
    assert min(parts) > 0.3


def test_the_parts_are_the_divergences_that_they_name(q):
    diagonal = q.covariance.diagonal()
    product = MultivariateNormal(q.mean, diagonal.diag())
    prior = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    assert q.total_correlation == pytest.approx(float(kl_divergence(marginal(q), product)))
    assert q.dimension_kl == pytest.approx(float(kl_divergence(product, prior)))
    entropy = MultivariateNormal(q.mean, q.variance.diag()).entropy()
    assert q.mutual_information == pytest.approx(float(marginal(q).entropy() - entropy))


def test_the_population_has_that_aggregate_posterior(q):
    terms = next(minibatches(LARGE))
    z = torch.cat([t.z.flatten(0, 2) for t in minibatches(LARGE)])
    torch.testing.assert_close(z.mean(0), q.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(z.T.cov(), q.covariance, rtol=0, atol=0.08)
    assert terms.num_examples != terms.shape[1]


def test_mmd_by_many_draws(q):
    torch.manual_seed(0)
    x = marginal(q).sample((1500,))
    y = torch.randn(1500, 3, dtype=torch.float64)
    for exact, kernel in (
        (q.rbf_mmd(0.3), lambda squared: torch.exp(-0.3 * squared)),
        (q.imq_mmd(4.0), lambda squared: 4.0 / (4.0 + squared)),
    ):
        assert exact == pytest.approx(float(densities.squared_mmd(x, y, kernel)), abs=0.015)
        assert exact > 0.05


def test_the_inverse_multiquadratic_is_a_mixture_of_gaussians(q):
    exact, _ = quad(lambda u: math.exp(-u) * q.rbf_mmd(u / 6.0), 0.0, 60.0, epsabs=1e-12)
    assert q.imq_mmd(6.0) == pytest.approx(exact, abs=1e-8)


def test_no_divergence_is_left_where_q_is_the_prior():
    none = torch.zeros(3).double()
    prior = replace(
        aggregate(100), mean=none, mean_covariance=0.5 * torch.eye(3).double(), variance=none + 0.5
    )
    gone = prior.total_correlation, prior.dimension_kl, prior.rbf_mmd(0.5), prior.imq_mmd(2.0)
    assert gone == pytest.approx((0.0,) * 4, abs=1e-12)
    squares = (f(prior.covariance) for f in (prior.off_diagonal_squares, prior.diagonal_squares))
    assert [*squares] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_small_minibatches_move_only_what_no_estimate_is_unbiased_of():
    exact, few = aggregate(100), aggregate(100, 10)
    assert few.mutual_information > exact.mutual_information
    assert few.diagonal_squares(few.covariance) > exact.diagonal_squares(few.covariance)
    assert (few.rate, few.rbf_mmd(0.2)) == (exact.rate, exact.rbf_mmd(0.2))


# ------------------------------------------------------------------ objectives


@pytest.mark.slow
@pytest.mark.parametrize("name", PENALISING)
def test_every_registered_objective_penalises_what_it_declares(name):
    findings = [*check_aggregate(OBJECTIVES[name])]
    assert findings
    assert all(finding.holds for finding in findings)


def test_what_declares_no_penalty_has_none_checked():
    assert [*check_aggregate(OBJECTIVES["elbo"])] == []


def with_log_weights(log_weight):
    """beta_tc with other weights of the examples."""

    def loss(t: Terms, *, alpha=1.0, beta=6.0, gamma=1.0):
        num_rows = t.shape[1]
        log_weights = t.z.new_full((num_rows, num_rows), log_weight(t.num_examples, num_rows))
        return total_correlation._decomposed(t, log_weights, alpha, beta, gamma)

    return loss


def swapped(t, *, alpha=1.0, beta=6.0, gamma=1.0):
    return total_correlation.beta_tc(t, alpha=beta, beta=alpha, gamma=gamma)


def mean_over_dimensions(t, *, alpha=1.0, beta=6.0, gamma=1.0):
    narrow = replace(t)
    object.__setattr__(narrow, "pairwise_log_q", t.pairwise_log_q / t.z.shape[-1])
    return total_correlation.beta_tc(narrow, alpha=alpha, beta=beta, gamma=gamma)


def only_others(t, *, alpha=1.0, beta=6.0, gamma=1.0):
    """Stratified weights, but none for the example itself, and as if there were half of them."""
    weights = torch.full((t.shape[1],) * 2, 0.5 / t.shape[1], dtype=t.z.dtype)
    return total_correlation._decomposed(t, weights.fill_diagonal_(1e-9).log(), alpha, beta, gamma)


def mmd_with_pairs_of_one(t, *, lam=10.0, width=1.0):
    """The biased estimate, with each point beside itself."""
    c, z, y = 2.0 * t.z.shape[-1], t.z, t.prior_z

    def kernel(squared):
        return c / (c + squared)

    same = [densities.mean_kernel(a, a, kernel, same=False) for a in (z, y)]
    mmd = sum(same) - 2.0 * densities.mean_kernel(z, y, kernel, same=False)
    return t.distortion + lam * mmd.mean(0)[:, None]


def mmd_of_means(t, *, lam=10.0, width=1.0):
    c = 2.0 * t.z.shape[-1]
    mmd = densities.squared_mmd(t.mu, t.prior_z, lambda squared: c / (c + squared))
    return t.distortion + lam * mmd[:, None]


def mmd_not_squared(t, *, lam=10.0, width=1.0):
    c = 2.0 * t.z.shape[-1]
    mmd = densities.squared_mmd(t.z, t.prior_z, lambda squared: c / (c + squared))
    return t.distortion + lam * mmd.mean(0)[:, None].abs().sqrt()


def info_vae_with_the_wrong_sign(t, *, alpha=0.0, lam=10.0, width=1.0):
    return mmd.info_vae(t, alpha=-alpha, lam=lam, width=width)


def of_means(t, *, off_diagonal=10.0, diagonal=10.0):
    return covariance.dip_vae_i(t, off_diagonal=off_diagonal, diagonal=diagonal)


def of_codes(t, *, off_diagonal=10.0, diagonal=100.0):
    return covariance.dip_vae_ii(t, off_diagonal=off_diagonal, diagonal=diagonal)


def uncentred(t, *, off_diagonal=10.0, diagonal=100.0):
    products = t.mu.mT @ t.mu / t.mu.shape[1]
    penalty = covariance._away_from_identity(products, off_diagonal, diagonal)
    return t.distortion + t.rate + penalty


def upper_triangle(t, *, off_diagonal=10.0, diagonal=100.0):
    return covariance.dip_vae_i(t, off_diagonal=0.5 * off_diagonal, diagonal=diagonal)


def mean_of_squares(t, *, off_diagonal=10.0, diagonal=100.0):
    return covariance.dip_vae_i(t, off_diagonal=off_diagonal / 6, diagonal=diagonal / 3)


def two_logits(t, *, gamma=6.0):
    """Kim & Mnih's difference of two logits taken of one: counted twice."""
    return total_correlation.factor_vae(t, gamma=2.0 * gamma)


def negative(t, *, gamma=6.0):
    return total_correlation.factor_vae(t, gamma=-gamma)


def grows(name, num_rows=LARGE):
    return f"grows with {name} as declared, B={num_rows}"


WRONG = [
    ("beta_tc", with_log_weights(lambda n, b: -math.log(b)), ["alpha", "beta", "gamma"]),
    ("beta_tc", with_log_weights(lambda n, b: -math.log(b * b)), ["alpha", "beta", "gamma"]),
    ("beta_tc", swapped, ["alpha", "beta"]),
    ("beta_tc", mean_over_dimensions, ["gamma"]),
    ("beta_tc_stratified", swapped, ["alpha", "beta"]),
    ("beta_tc_stratified", total_correlation.beta_tc, ["alpha", "beta", "gamma"]),
    ("beta_tc_stratified", only_others, ["alpha"]),
    ("wae_mmd", mmd_of_means, ["lam"]),
    ("wae_mmd", mmd_not_squared, ["lam"]),
    ("info_vae", info_vae_with_the_wrong_sign, ["alpha"]),
    ("dip_vae_i", of_codes, ["diagonal"]),
    ("dip_vae_i", uncentred, ["off_diagonal"]),
    ("dip_vae_i", upper_triangle, ["off_diagonal"]),
    ("dip_vae_i", mean_of_squares, ["off_diagonal", "diagonal"]),
    ("dip_vae_ii", of_means, ["diagonal"]),
    ("factor_vae", two_logits, ["gamma"]),
    ("factor_vae", negative, ["gamma"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loss", "hypers"), WRONG)
def test_a_wrong_loss_is_told_by_its_fact(name, loss, hypers):
    assert is_told(replace(OBJECTIVES[name], loss=loss), *map(grows, hypers))


def test_a_biased_estimate_of_mmd_is_told_by_small_minibatches():
    wrong = replace(OBJECTIVES["wae_mmd"], loss=mmd_with_pairs_of_one)
    assert failing(wrong) == {grows("lam", SMALL)}


@pytest.mark.parametrize(("num_rows", "num_examples"), [(3, 5), (4, 4), (2, 100), (50, 1000)])
def test_stratified_weights_are_unbiased(num_rows, num_examples):
    """Over minibatches that hold the own example, each other is as likely: own 1/N, others the
    rest. The check above allows what is of first order in 1/B, and so any weight of one example."""
    q = minibatches(SMALL)
    terms = replace(next(q), num_examples=num_examples, log_px_z=torch.zeros(1, 1, num_rows))
    weights = total_correlation._stratified(terms).exp()
    torch.testing.assert_close(
        weights.diagonal(), torch.full((num_rows,), 1 / num_examples).double()
    )
    torch.testing.assert_close(weights.sum(-1), torch.ones(num_rows).double())


WRONG_FACTS = [
    ("beta_tc", {"alpha": lambda a: a.mutual_information}),
    ("beta_tc", {"beta": lambda a: a.total_correlation + a.latent_dim * math.log(a.num_examples)}),
    ("beta_tc_stratified", {"gamma": lambda a: a.dimension_kl / a.latent_dim}),
    ("beta_tc_stratified", {"beta": lambda a: a.rate - a.mutual_information}),
    ("info_vae", {"alpha": lambda a: -a.rate}),
    ("wae_mmd", {"lam": lambda a: a.imq_mmd(a.latent_dim)}),
    ("wae_mmd", {"lam": lambda a: a.imq_mmd(4.0 * a.latent_dim)}),
    ("wae_mmd", {"lam": lambda a: a.rbf_mmd(0.5 / a.latent_dim)}),
    ("dip_vae_ii", {"diagonal": lambda a: a.diagonal_squares(a.mean_covariance)}),
    ("factor_vae", {"gamma": lambda a: a.dimension_kl}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "penalises"), WRONG_FACTS)
def test_a_wrong_declaration_is_told(name, penalises):
    wrong = replace(OBJECTIVES[name], penalises=penalises)
    assert any(not finding.holds for finding in check_aggregate(wrong))


# ------------------------------------------------------------------ the discriminator


def test_the_exact_critic_has_the_total_correlation_as_its_mean(q):
    z = marginal(q).sample((200_000,))[None]
    critic = ExactCritic(q, 1)(z)
    assert critic.mean().item() == pytest.approx(q.total_correlation, abs=0.01)


def critic_loss(real_sign=1.0, shuffled_from=None):
    declared = OBJECTIVES["factor_vae"].auxiliary

    def loss(t):
        if shuffled_from is not None:  # the fake codes are of the same examples, or of the prior
            t = replace(t, z=shuffled_from(t))
        critic = t.auxiliary
        return declared.loss(replace(t, auxiliary=lambda z: real_sign * critic(z)))

    return replace(
        OBJECTIVES["factor_vae"], auxiliary=Auxiliary(declared.network, loss), penalises={}
    )


NETWORK = "its network is trained towards the log-odds of q(z) to the product of its marginals"


@pytest.mark.parametrize(
    "changes",
    [{"real_sign": -1.0}, {"shuffled_from": lambda t: 1.2 * t.z}],
    ids=["sign", "other codes"],
)
def test_a_network_that_learns_something_else_is_told(changes):
    wrong = replace(critic_loss(**changes), penalises=OBJECTIVES["factor_vae"].penalises)
    assert failing(wrong) == {NETWORK}
