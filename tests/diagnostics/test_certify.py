"""What certification stands on: models with exact answers, checked in other ways; and its rows."""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify import CHECKS, Finding, certify, covered, exact_log_px
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    SIGMA,
    draws,
    exact_elbo,
    examples,
    far_examples,
    linear_gaussian,
    replicas,
    sampled,
)
from vaebench.diagnostics.certify.finding import at_most, centred, equal, largest
from vaebench.diagnostics.certify.objectives import discrete_model as discrete
from vaebench.diagnostics.certify.objectives import extremes, quadrature
from vaebench.diagnostics.certify.objectives.gradients import gradients
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise, normals

N = 6


def posterior(model, x):
    """p(z|x) by Bayes' rule for Gaussians: mean [N, D], covariance [D, D]."""
    weight, bias = model.decoder.weight[0], model.decoder.bias[0, 0]
    precision = torch.eye(len(weight)).double() + weight @ weight.T / SIGMA**2
    covariance = precision.inverse()
    return (x - bias) @ weight.T @ covariance / SIGMA**2, covariance


def data(model):
    return SIGMA * normals(Noise((3,)), 1, N, model.decoder.weight.shape[-1])[0, 0].double()


def test_true_posterior_is_the_posterior(true_posterior):
    x = data(true_posterior)
    mean, covariance = posterior(true_posterior, x)
    q = true_posterior.posterior(x[None])
    torch.testing.assert_close(q.mu[0], mean)
    torch.testing.assert_close(q.log_var[0, 0].exp().diag(), covariance)


def test_the_elbo_identity(wrong_posterior):
    """log p(x) - KL[q(z|x) || p(z|x)] = E_q[log p(x|z)] - KL[q(z|x) || p(z)]."""
    model, x = wrong_posterior, data(wrong_posterior)
    mean, covariance = posterior(model, x)
    q = model.posterior(x[None])
    kl_to_posterior = kl_divergence(
        MultivariateNormal(q.mu[0], q.log_var[0].exp().diag_embed()),
        MultivariateNormal(mean, covariance),
    )
    left = exact_log_px(model, x) - kl_to_posterior
    torch.testing.assert_close(left, exact_elbo(model, x[None])[0], rtol=0, atol=1e-8)
    assert (kl_to_posterior > 0.1).all()


def test_the_elbo_in_closed_form_is_the_expectation(wrong_posterior):
    x = data(wrong_posterior)
    stacked = x.expand(300, N, -1)
    noise = Noise(tuple(range(300)))
    terms = compute_terms(replicas(wrong_posterior, 300), stacked, noise, num_samples=50)
    off_by = (terms.log_w.mean(0) - exact_elbo(wrong_posterior, x[None])).mean(-1)
    assert equal("elbo", "closed form", off_by).holds


def test_bayes_rule_sample_by_sample(true_posterior):
    """log p(x|z) + log p(z) - log p(z|x) = log p(x), whatever z."""
    x = data(true_posterior)
    terms = compute_terms(true_posterior, x[None], Noise((4,)), num_samples=3)
    expected = exact_log_px(true_posterior, x).expand(3, 1, N)
    torch.testing.assert_close(terms.log_w, expected, rtol=0, atol=1e-8)


def test_exact_log_px_is_the_marginal(true_posterior):
    x = data(true_posterior)
    weight, bias = true_posterior.decoder.weight[0], true_posterior.decoder.bias[0, 0]
    covariance = weight.T @ weight + SIGMA**2 * torch.eye(weight.shape[1]).double()
    expected = MultivariateNormal(bias, covariance).log_prob(x)
    torch.testing.assert_close(exact_log_px(true_posterior, x), expected)


def test_ratios_have_the_moments_that_a_standard_error_stands_on():
    """E_q[(p / q)^m] is finite where the variance of q is above (m - 1) / m of the prior's."""
    for wrong in (0.0, 1.0):
        variance = sampled(wrong).log_var.exp()
        assert float(variance.min()) > 3 / 4


def test_near_and_far_examples_lie_on_both_sides_of_the_floors(wrong_posterior):
    near, far = (draws(wrong_posterior, x).kl.mean() for x in (examples(), far_examples()))
    assert float(near) < OBJECTIVES["free_bits_per_example"].hyper["floor"].default < float(far)


def test_replicas_have_noise_of_their_own(wrong_posterior):
    z = draws(replicas(wrong_posterior, 3), examples()).z
    assert len(z.transpose(0, 1).flatten(1).unique(dim=0)) == 3


# ------------------------------------------------------------------ the discrete model


def test_the_discrete_model_sums_to_one_over_its_images(monkeypatch):
    total = 0.0
    for image in itertools.product((0.0, 1.0), repeat=len(discrete.X)):
        monkeypatch.setattr(discrete, "X", image)
        total += math.exp(discrete.log_px())
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_expected_elbo_of_the_discrete_model_is_by_hand(wrong):
    q, log_px_z = discrete.log_q(wrong).exp().tolist(), discrete.log_px_z().tolist()
    by_hand = sum(
        p * (log_p - math.log(p) - math.log(3)) for p, log_p in zip(q, log_px_z, strict=True)
    )
    for at_each_k in (discrete.bounds(OBJECTIVES[n], wrong=wrong) for n in ("elbo", "elbo_mc")):
        assert list(at_each_k) == [1, 2, 3, 4, 5, 6]
        assert list(at_each_k.values()) == pytest.approx([by_hand] * 6)
    assert (by_hand < discrete.log_px() - 0.01) == wrong


def test_expected_iwae_of_the_discrete_model_is_by_hand():
    q, log_px_z = discrete.log_q(wrong=True).exp().tolist(), discrete.log_px_z().tolist()
    w = [math.exp(log_p) / 3 / p for p, log_p in zip(q, log_px_z, strict=True)]
    pairs = itertools.product(range(3), repeat=2)
    by_hand = sum(q[i] * q[j] * math.log((w[i] + w[j]) / 2) for i, j in pairs)
    assert discrete.bounds(OBJECTIVES["iwae"])[2] == pytest.approx(by_hand)


def test_a_sample_in_proportion_is_the_limit_of_many():
    """There the importance-weighted bound is log p(x)."""
    loss = OBJECTIVES["iwae"](discrete.in_proportion())
    assert -float(loss) == pytest.approx(discrete.log_px(), abs=1e-12)


def test_what_discrete_codes_have_no_formula_for_has_no_rows():
    assert not list(discrete.check(OBJECTIVES["dreg"]))
    assert list(discrete.check(OBJECTIVES["iwae"]))


def test_fewer_samples_than_an_objective_needs_are_left_out():
    assert list(discrete.bounds(OBJECTIVES["miwae"])) == [2, 4, 6]


# ------------------------------------------------------------------ quadrature


def test_nodes_have_the_moments_of_normals():
    pairs, mass = quadrature.nodes(quadrature.NUM_NODES)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0), (6, 15.0)):
        assert (mass * pairs.pow(power)).sum(1).tolist() == pytest.approx([moment] * 2, abs=1e-10)
    assert float((mass * pairs.prod(0)).sum()) == pytest.approx(0.0, abs=1e-12)


def test_the_expected_elbo_by_quadrature_is_that_in_closed_form():
    model = quadrature.one_dimension()
    exact = -exact_elbo(model, examples()[None, :1])[0]
    for name in ("elbo", "elbo_mc", "elbo_low_variance"):
        torch.testing.assert_close(quadrature.expected(OBJECTIVES[name], model), exact)


def test_slopes_of_the_expected_elbo_are_those_of_the_closed_form():
    model = replicas(quadrature.one_dimension(), 1, trained=True)
    exact_elbo(model, examples()[None, :1]).sum().neg().backward()
    for side in ("encoder", "decoder"):
        parameters = getattr(model, side).parameters()
        expected = torch.cat([p.grad.flatten() for p in parameters])
        computed = quadrature.slope(OBJECTIVES["elbo_mc"], side)
        torch.testing.assert_close(computed, expected, rtol=0, atol=1e-7)


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize(
    ("name", "at_rest"), [("elbo_stl", True), ("dreg", True), ("elbo_mc", False), ("iwae", False)]
)
def test_only_path_gradients_vanish_in_every_sample_at_the_true_posterior(name, at_rest):
    """The gradients of elbo_mc and iwae do so on average: the score that is in them is noise."""
    model = replicas(linear_gaussian(wrong=0.0), trained=True)
    computed = gradients(OBJECTIVES[name], model, examples())["encoder"]
    assert (largest(computed) < 1e-9) == at_rest
    assert at_rest or largest(computed) > 0.1
    assert centred(name, "on average", computed).holds


def test_the_encoder_of_an_upper_bound_descends_it():
    """The sign that certification takes off is the one that the loss puts on."""
    model = replicas(linear_gaussian(wrong=1.0), 3, trained=True)
    terms = draws(model, examples())
    loss = OBJECTIVES["cubo"](terms).mean(-1).sum()
    slopes = torch.autograd.grad(loss, list(model.encoder.parameters()))
    kept = gradients(OBJECTIVES["cubo"], model, examples())["encoder"]
    torch.testing.assert_close(torch.cat([g.flatten(1) for g in slopes], 1), -kept)


# ------------------------------------------------------------------ findings


def test_findings_hold_up_to_their_error():
    noise = normals(Noise((1,)), 1, 1000, 1).double().flatten()
    assert equal("x", "0", noise).holds
    assert not equal("x", "0", noise + 0.5).holds
    assert at_most("x", "0", noise - 0.5).holds
    assert not at_most("x", "0", noise + 0.5).holds
    assert centred("x", "0", noise[:, None]).holds
    assert not centred("x", "0", torch.stack([noise, noise + 0.5], 1)).holds
    assert centred("x", "0", noise[:, None] + 0.5, blur=0.5).holds


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_does_not_hold(value):
    bad = torch.full((5,), value, dtype=torch.float64)
    assert largest(bad) == math.inf
    for finding in (equal("x", "0", bad), at_most("x", "0", bad), centred("x", "0", bad[:, None])):
        assert not finding.holds


def test_rows_say_their_unit():
    assert Finding("a", "b", 0.25, 0.5, kind="prior").as_row() == {
        "kind": "prior",
        "name": "a",
        "fact": "b",
        "off by": "0.25",
        "allowed": "0.5",
        "unit": "nats",
        "result": "holds",
    }


def test_what_is_not_declared_is_a_remark_and_fails_nothing():
    remark = Finding("a", "b", 1.0, 0.5, declared=False)
    assert (remark.result, remark.fails, remark.holds) == ("remark", False, False)
    assert Finding("a", "b", 0.1, 0.5, declared=False).result == "holds"
    assert Finding("a", "b", 1.0, 0.5).fails


# ------------------------------------------------------------------ far out


def test_examples_have_every_rate_and_their_own_log_px():
    rates = torch.cat([extremes.case(place, 0.0).terms.kl[0] for place in extremes.PLACES])
    rates = rates.sort().values
    assert float(rates[0]) < 1e-3
    assert float(rates[-1]) > 5e3
    between = rates[(rates > 0.1) & (rates < 5e3)]
    assert float((between[1:] / between[:-1]).max()) < 2.5
    for place in extremes.PLACES:
        known = extremes.case(place, 0.0)
        log_w, exact = known.terms.log_w, known.log_px.expand_as(known.terms.log_w)
        torch.testing.assert_close(log_w, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_the_luck_of_samples_is_all_that_a_distortion_is_off_by(wrong):
    known = extremes.case(extremes.PLACES[1], wrong)
    mean, error = known.mean(known.terms.distortion + known.terms.kl)
    model = linear_gaussian(wrong)
    exact = -exact_elbo(model, extremes.PLACES[1].examples[None])[0]
    torch.testing.assert_close(mean, exact)
    assert float((error / (1.0 + exact.abs())).max()) < 1e-9


def test_the_range_that_is_covered_is_said_of_each_kind():
    said = covered()
    assert list(said) == [registry.kind for registry, _ in CHECKS.values()]
    assert "rates of 1e-04 to 1e+04 nats" in said["objective"]


def test_certify_takes_names_of_every_kind_and_points_from_unknown_ones():
    assert {finding.name for finding in certify(["elbo", "iwae"])} == {"elbo", "iwae"}
    for registry, _ in CHECKS.values():
        wrong = next(iter(registry)) + "x"
        with pytest.raises(InputError, match=f"did you mean '{wrong[:-1]}'"):
            certify([wrong])
