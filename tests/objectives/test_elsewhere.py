"""Objectives as plain functions: distributions of torch, what they keep, what they refuse."""

import pytest
import torch
from torch.distributions import (
    Independent,
    Laplace,
    LogNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

import vaebench as vb
from vaebench.core.errors import InputError

K, B, D = 4, 5, 3


@pytest.fixture
def tensors():
    """mu, log_var, and a decoder's weights, all with gradients."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((B, D), (B, D), (D, 7))
    ]


def likelihood(z, weights):
    """log p(x|z) of x = 0 with unit variance."""
    return -0.5 * (z @ weights).square().sum(-1)


def drawn(q, weights):
    torch.manual_seed(0)
    z = q.rsample((K,))
    return {"q": q, "z": z, "log_px_z": likelihood(z, weights)}


def test_a_kl_that_torch_has_a_formula_for_is_taken_from_there(tensors):
    mu, log_var, weights = tensors
    q, p = Laplace(mu, log_var.exp()), Normal(0.5, 2.0)
    terms = drawn(q, weights)
    rate = kl_divergence(q, p).sum(-1)
    expected = rate - terms["log_px_z"].mean(0)
    torch.testing.assert_close(vb.loss("elbo", prior=p, reduction="none", **terms), expected)
    torch.testing.assert_close(vb.loss("elbo", prior=p, reduction="sum", **terms), expected.sum())
    standard = kl_divergence(q, Normal(0.0, 1.0)).sum(-1).mean() - terms["log_px_z"].mean()
    torch.testing.assert_close(vb.loss("elbo", **terms), standard)


def test_a_prior_may_differ_from_example_to_example(tensors):
    mu, log_var, weights = tensors
    q = Independent(Normal(mu, log_var.exp()), 1)
    p = Independent(Normal(torch.arange(B)[:, None] * mu.detach(), 2.0), 1)
    terms = drawn(q, weights)
    log_w = terms["log_px_z"] + p.log_prob(terms["z"]) - q.log_prob(terms["z"])
    expected = -(log_w.logsumexp(0) - torch.tensor(float(K)).log())
    torch.testing.assert_close(
        vb.loss("iwae", prior=p, reduction="none", **terms), expected, check_dtype=False
    )
    floor = vb.loss("free_bits_per_dimension", prior=p, floor=0.0, **terms)
    torch.testing.assert_close(floor, vb.loss("elbo", prior=p, **terms))


@pytest.mark.parametrize(
    "family",
    [
        lambda mu, scale: Independent(Laplace(mu, scale), 1),
        lambda mu, scale: MultivariateNormal(mu, scale_tril=torch.diag_embed(scale)),
    ],
)
def test_the_path_derivative_of_any_family_stops_its_parameters(tensors, family):
    mu, log_var, weights = tensors
    terms = drawn(family(mu, log_var.exp()), weights)
    stopped = family(mu.detach(), log_var.detach().exp())
    log_pz = Normal(0.0, 1.0).log_prob(terms["z"]).sum(-1)
    by_hand = -(terms["log_px_z"] + log_pz - stopped.log_prob(terms["z"])).mean()
    expected = torch.autograd.grad(by_hand, tensors, retain_graph=True)
    computed = torch.autograd.grad(vb.loss("elbo_stl", **terms), tensors)
    torch.testing.assert_close(computed, expected)


def test_log_densities_alone_serve_what_needs_no_parameters(tensors):
    mu, log_var, weights = tensors
    q = Independent(Normal(mu, log_var.exp()), 1)
    terms = drawn(q, weights)
    z = terms["z"]
    known = {"q": q.log_prob(z), "prior": Normal(0.0, 1.0).log_prob(z).sum(-1)}
    torch.testing.assert_close(vb.loss("iwae", **terms | known), vb.loss("iwae", **terms))
    with pytest.raises(InputError, match="stopped needs a q with parameters; got its log-dens"):
        vb.loss("dreg", **terms | known)
    with pytest.raises(InputError, match=r"no closed form.*choose elbo_mc"):
        vb.loss("elbo", **terms | known)


def test_geco_moves_the_state_that_it_is_handed(tensors):
    mu, log_var, weights = tensors
    terms = drawn(Normal(mu, log_var.exp()), weights)
    with pytest.raises(InputError, match="keeps multiplier and constraint from step to step"):
        vb.loss("geco", target=1.0, **terms)
    state = {}
    first = vb.loss("geco", target=1.0, state=state, **terms)
    grown = float(state["multiplier"])
    second = vb.loss("geco", target=1.0, state=state, **terms)
    excess = float(-terms["log_px_z"].detach().mean() - 1.0)
    assert float((second - first).detach()) == pytest.approx((grown - 1.0) * excess, rel=1e-6)
    assert grown == pytest.approx(float(torch.exp(torch.tensor(1e-3 * excess).clamp(-1, 1))))


def test_factor_vae_trains_a_network_of_its_own(tensors):
    mu, log_var, weights = tensors
    terms = drawn(Normal(mu, log_var.exp()), weights)
    critic = torch.nn.Linear(D, 1).double()
    with pytest.raises(InputError, match=r"trains a network of its own.*critic="):
        vb.loss("factor_vae", **terms)
    vb.loss("factor_vae", critic=critic, **terms).backward()
    assert critic.weight.grad is None
    mu.grad = None
    again = drawn(terms["q"], weights)
    vb.loss("factor_vae", critic=critic, of="critic", **again).backward()
    assert critic.weight.grad.abs().max() > 1e-4 and mu.grad is None


def test_the_estimator_is_refused_samples_that_were_not_decoded(tensors):
    mu, log_var, weights = tensors
    terms = drawn(Normal(mu, log_var.exp()), weights)
    flat = terms["z"].flatten(0, 1)
    terms["log_px_z"] = likelihood(flat, weights).view(K, B)
    vb.loss("dreg", **terms)
    with pytest.raises(InputError, match="log_px_z must be computed from the very tensor"):
        vb.loss("dreg", **terms | {"z": flat.view(K, B, D)})
    terms = drawn(Normal(mu, log_var.exp()), weights)
    log_pz = Normal(0.0, 1.0).log_prob(terms["z"].flatten(0, 1)).sum(-1).view(K, B)
    vb.loss("dreg", prior=log_pz, **terms)
    other = drawn(Normal(mu, log_var.exp()), weights)
    with pytest.raises(InputError, match="prior must be computed from the very tensor"):
        vb.loss("dreg", prior=log_pz, **other)


class Together(torch.autograd.Function):
    """z and log p(x|z) out of one node of the graph, as a compiled step gives them."""

    @staticmethod
    def forward(ctx, z):
        return z.clone(), -0.5 * z.square().sum(-1)

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0]


def test_samples_and_likelihoods_out_of_one_node_are_refused_too(tensors):
    mu, log_var, _ = tensors
    q = Normal(mu, log_var.exp())
    z, log_px_z = Together.apply(q.rsample((K,)))
    with pytest.raises(InputError, match="compile encoder and decoder apart"):
        vb.loss("dreg", q=q, log_px_z=log_px_z, z=z)
    assert vb.loss("elbo_stl", q=q, log_px_z=log_px_z, z=z).isfinite()


WRONG = [
    ({"z": lambda t: t["z"].detach()}, "use q.rsample"),
    ({"log_px_z": lambda t: t["log_px_z"][..., None]}, r"summed over pixels.*got \(4, 5, 1\)"),
    ({"z": lambda t: t["z"][..., None]}, r"z must be \[B, D\]"),
    ({"q": lambda t: t["q"].expand((K, B, D))}, "of one q, not of K copies"),
    ({"q": lambda t: (t["q"].loc[0], t["q"].scale)}, r"mu of q must have shape \(5, 3\)"),
    ({"q": lambda t: "normal"}, "q must be a torch.distributions object.*got str"),
    ({"prior": lambda t: "vamp"}, "has parameters, which a name does not give"),
    ({"prior": lambda t: Normal(torch.zeros(2), 1.0)}, "over codes of 3 numbers"),
    ({"prior": lambda t: None}, "or 'standard_normal'; got NoneType"),
    ({"reduction": lambda t: "max"}, "reduction must be one of mean, sum, none; got 'max'"),
    ({"beta": lambda t: 2.0}, "no hyperparameter 'beta'; it has: none; what weighs the rate"),
    ({"of": lambda t: "critic"}, "trains no network of its own"),
    ({"of": lambda t: "critics"}, "of must be one of model, critic; got 'critics'"),
    ({"z": lambda t: t["z"].tolist()}, "z must be a tensor; got list"),
    ({"rate_weight": lambda t: float("nan")}, "rate_weight must be finite, in"),
    ({"num_examples": lambda t: 4}, "at least the 5 examples of a minibatch; got 4"),
    ({"q": lambda t: LogNormal(t["q"].loc, t["q"].scale)}, "keeps transforms as list"),
]


@pytest.mark.parametrize("change, message", WRONG, ids=[message[:20] for _, message in WRONG])
def test_what_does_not_fit_is_refused(tensors, change, message):
    mu, log_var, weights = tensors
    terms = drawn(Normal(mu, log_var.exp()), weights)
    terms |= {name: make(terms) for name, make in change.items()}
    with pytest.raises(InputError, match=message):
        vb.loss("dreg", **terms)


def test_an_objective_says_what_it_lacks(tensors):
    mu, log_var, weights = tensors
    terms = drawn(Normal(mu, log_var.exp()), weights)
    with pytest.raises(InputError, match=r"unknown objective 'dregg'.*'dreg'"):
        vb.loss("dregg", **terms)
    with pytest.raises(InputError, match="num_examples=len"):
        vb.loss("beta_tc", **terms)
    with pytest.raises(InputError, match="beta of 'beta_elbo' must be finite"):
        vb.loss("beta_elbo", beta=-1.0, **terms)
    with pytest.raises(InputError, match="beta of 'beta_elbo' must be a number; got '4'"):
        vb.loss("beta_elbo", beta="4", **terms)
    with pytest.raises(InputError, match="needs a value for 'target'"):
        vb.loss("geco", state={}, **terms)
    with pytest.raises(InputError, match="has no rate"):
        vb.loss("wae_mmd", rate_weight=0.5, **terms)
