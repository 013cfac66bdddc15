"""Every family of posteriors: its samples are those of its density, its formulas those of both."""

import math

import pytest
import torch

from tests.support.families import (
    KEYS,
    B,
    C,
    D,
    S,
    images,
    model_of,
    narrow_normal,
    one_hot_codes,
    prior_for,
    q_of,
    within_error,
)
from vaebench.config.compatibility import refusal
from vaebench.core.errors import InputError
from vaebench.models import select
from vaebench.models.posteriors import POSTERIORS, Drawing, Latent
from vaebench.models.priors import PRIORS
from vaebench.ops import densities
from vaebench.ops.noise import Noise

K, MANY = 5, 20_000
NOISE = Noise(KEYS, step=3)
REAL = [name for name, entry in POSTERIORS.items() if not entry.discrete]
DISCRETE = [name for name, entry in POSTERIORS.items() if entry.discrete]


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_the_declared_closed_forms_are_those_that_train(posterior, prior):
    trains = not refusal("elbo", "bernoulli", posterior, prior)
    assert (prior in POSTERIORS[posterior].closed_form_kl_to) == trains


def drawn(q, num_samples=K, noise=NOISE, relaxed=False):
    return q.draw(Drawing(noise, num_samples, densities, relaxed))


def log_prob_of(q, draw):
    """log q(z|x) of drawn codes, from wherever the family has it."""
    return q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x


# ------------------------------------------------------------------ what holds for every family


@pytest.mark.parametrize("name", POSTERIORS)
def test_draws_have_the_shapes_that_the_family_declares(name):
    width = POSTERIORS[name].code_width(Latent(D, C))
    draw = drawn(q_of(name))
    assert draw.z.shape == (K, S, B, width)
    assert log_prob_of(q_of(name), draw).shape == (K, S, B)
    kl = draw.kl_to_standard_normal
    assert kl is None or kl.shape == (S, B)


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_run_draws_the_same_alone_and_in_a_stack(name):
    model, x = model_of(name, prior_for(name)), images()
    whole = drawn(model.posterior(x))
    for run in range(S):
        q = select(model, [run]).posterior(x[run : run + 1])
        alone = drawn(q, noise=Noise(KEYS[run : run + 1], step=3))
        for ours, theirs in zip(alone, whole, strict=True):
            if ours is not None:
                axis = 1 if ours.dim() > 2 else 0
                torch.testing.assert_close(ours, theirs.narrow(axis, run, 1))
    log_q = log_prob_of(model.posterior(x), whole)
    torch.testing.assert_close(log_prob_of(q, alone), log_q[:, -1:])


@pytest.mark.parametrize("name", POSTERIORS)
def test_samples_and_runs_and_examples_differ(name):
    """Discrete codes are relaxed here, as few whole ones differ."""
    q = q_of(name)
    if POSTERIORS[name].discrete:
        q = type(q)(q.log_probs, 1.0, trains_relaxed=True)
    z = drawn(q, relaxed=True).z.flatten(0, 2)
    assert len(z.unique(dim=0)) == len(z)


@torch.no_grad()
@pytest.mark.parametrize("name", REAL)
def test_the_density_is_that_of_the_samples(name):
    """E_q[r(z) / q(z)] = 1 for a density r that lies within the cloud of samples."""
    q = q_of(name, far=0.7)
    draw = drawn(q, MANY)
    weights = (narrow_normal(draw.z).log_prob(draw.z) - log_prob_of(q, draw)).exp()
    assert float(weights.std()) < 5
    assert within_error(weights, 1.0)


@pytest.mark.parametrize("name", DISCRETE)
def test_the_density_of_codes_is_how_often_they_come(name):
    q, codes = q_of(name), one_hot_codes()
    probabilities = q.log_prob(codes[:, None, None].expand(-1, S, B, -1)).exp()  # [C^D, S, B]
    torch.testing.assert_close(probabilities.sum(0), torch.ones(S, B, dtype=torch.float64))
    computed = (drawn(q, MANY).z[:, None] == codes[None, :, None, None]).all(-1)
    error = (probabilities * (1 - probabilities) / MANY).sqrt()
    assert ((computed.double().mean(0) - probabilities).abs() <= 4.5 * error).all()


@pytest.mark.parametrize("name", POSTERIORS)
def test_mean_and_variance_are_those_of_the_samples(name):
    q = q_of(name)
    try:
        mean, log_var = q.mean, q.log_var
    except InputError as refusal:
        assert "has no closed form" in str(refusal)
        return
    z = drawn(q, MANY).z
    assert within_error(z, mean)
    assert within_error((z - mean).square(), log_var.exp())


@pytest.mark.parametrize("name", REAL)
def test_the_kl_that_comes_with_a_draw_is_to_the_standard_normal(name):
    q = q_of(name)
    draw = drawn(q, MANY)
    ratio = log_prob_of(q, draw) - densities.standard_normal_log_prob(draw.z)
    kl = draw.kl_to_standard_normal
    assert kl is None or within_error(ratio, kl)


@pytest.mark.parametrize("name", REAL)
def test_stopped_leaves_the_gradient_through_z_alone(name):
    q = q_of(name)
    z = drawn(q).z.detach().requires_grad_()
    try:
        ours, theirs = q.log_prob(z), q.stopped().log_prob(z)
    except InputError as refusal:
        assert "no closed form for log q(z|x) at a given z" in str(refusal)
        return
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(f.sum(), z)[0] for f in (ours, theirs)))
    assert not q.stopped().log_prob(z.detach()).requires_grad
    assert q.log_prob(z.detach()).requires_grad


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_encoder_output_and_network_has_a_gradient(name):
    """Through the samples, or their density where only that depends on a number."""
    model = model_of(name, prior_for(name))
    q = model.posterior(images())
    draw = drawn(q)
    (draw.z.sin().sum() + log_prob_of(q, draw).sum()).backward()
    network = [] if model.network is None else list(model.network.parameters())
    *_, weight, bias = model.encoder.parameters()
    assert bias.grad.isfinite().all()
    assert (bias.grad != 0).any(0).all()  # in some run: units of a network may be dead in one
    for parameter in (weight, *network):
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


# ------------------------------------------------------------------ the full Gaussian


def test_full_gaussian_is_torchs():
    q = q_of("full_gaussian", dim=3)
    law = torch.distributions.MultivariateNormal(q.mu, scale_tril=q.cholesky)
    draw = drawn(q)
    torch.testing.assert_close(q.log_prob(draw.z), law.log_prob(draw.z))
    unit = torch.distributions.MultivariateNormal(torch.zeros_like(q.mu), torch.eye(3).double())
    kl = torch.distributions.kl_divergence(law, unit)
    torch.testing.assert_close(draw.kl_to_standard_normal, kl)
    assert (q.cholesky[..., 1, 0] != 0).all()


def test_the_triangle_of_a_full_gaussian_is_scaled_row_by_row():
    """Numbers: two means, two log-variances, one below the diagonal."""
    numbers = torch.tensor([[[0.1, 0.2, math.log(4.0), math.log(9.0), 0.5]]])
    q = POSTERIORS["full_gaussian"].distribution(numbers, Latent(2), None)
    torch.testing.assert_close(q.cholesky[0, 0], torch.tensor([[2.0, 0.0], [1.5, 3.0]]))
    torch.testing.assert_close(q.mu[0, 0], torch.tensor([0.1, 0.2]))


# ------------------------------------------------------------------ discrete codes


@pytest.mark.parametrize("relaxed", [True, False])
@pytest.mark.parametrize("name", DISCRETE)
def test_codes_are_relaxed_only_in_the_training_of_gumbel_softmax(name, relaxed):
    z = drawn(q_of(name), relaxed=relaxed).z
    hard = bool(((z - z.round()).abs() < 1e-12).all())
    assert hard is not (name == "gumbel_softmax" and relaxed)
    parts = z.unflatten(-1, (D, C)).sum(-1)
    torch.testing.assert_close(parts, torch.ones_like(parts))


def test_a_relaxed_code_is_largest_where_the_hard_one_of_the_same_noise_is_one():
    q = q_of("gumbel_softmax")
    soft, hard = (drawn(q, relaxed=relaxed).z.unflatten(-1, (D, C)) for relaxed in (True, False))
    assert torch.equal(soft.argmax(-1), hard.argmax(-1))


def test_a_cold_relaxation_is_nearly_hard_and_each_run_has_its_own_temperature():
    log_probs = q_of("gumbel_softmax").log_probs
    kind = type(q_of("gumbel_softmax"))
    temperature = torch.tensor([[0.01], [1.0], [100.0]], dtype=torch.float64)
    z = drawn(kind(log_probs, temperature, trains_relaxed=True), MANY, relaxed=True).z
    largest = z.unflatten(-1, (D, C)).amax(-1).mean((0, 2, 3))
    assert largest[0] > 0.97
    assert 0.5 < largest[1] < 0.95
    assert largest[2] < 1 / C + 0.02


def test_the_straight_through_gradient_is_that_of_the_relaxation():
    q = q_of("gumbel_softmax")
    leaf = q.log_probs.detach().requires_grad_()
    weight = torch.arange(D * C, dtype=torch.float64)
    gradients = []
    for relaxed in (True, False):
        z = drawn(type(q)(leaf, 0.5, trains_relaxed=True), relaxed=relaxed).z
        gradients.append(torch.autograd.grad((z * weight).sum(), leaf)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].isfinite().all()
    assert gradients[0].abs().sum() > 0


# ------------------------------------------------------------------ refusals


REFUSED = {
    "planar log q": (
        lambda: q_of("planar_flow").log_prob(torch.zeros(K, S, B, D)),
        "'planar_flow' has no closed form for log q.* choose .* elbo_mc or iwae",
    ),
    "flow mean": (lambda: q_of("iaf").mean, "of flows.* its mean: choose posterior 'diagonal_ga"),
    "flow variance": (lambda: q_of("planar_flow").log_var, "of flows.* its variance"),
    "relaxed log q": (
        lambda: q_of("gumbel_softmax").log_prob(torch.full((K, S, B, D * C), 1 / C)),
        "'gumbel_softmax' has no .* of a relaxed code: choose .* elbo, or posterior 'categorical'",
    ),
    "gumbel path": (
        lambda: q_of("gumbel_softmax").stopped(),
        "'gumbel_softmax' .* path derivative, as its codes are discrete: choose an objective",
    ),
    "categorical path": (lambda: q_of("categorical").stopped(), "'categorical' .* path derivative"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_formula_is_refused_with_the_reason(what):
    ask, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        ask()
