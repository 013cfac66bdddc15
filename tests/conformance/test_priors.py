"""Every prior: samples, density and KL are of one law, and what it learns is learned."""

import functools

import numpy as np
import pytest
import torch
from scipy import stats

from tests.support.families import (
    COMPONENTS,
    KEYS,
    B,
    C,
    D,
    P,
    S,
    images,
    model_of,
    one_hot_codes,
    posterior_for,
    within_error,
)
from tests.support.runs import pairs, run_config, sampled, steps_of
from vaebench.core.errors import InputError
from vaebench.models import select
from vaebench.models.posteriors import POSTERIORS, Drawing, Latent
from vaebench.models.priors import PRIORS, prior
from vaebench.ops import densities
from vaebench.ops.noise import Noise

K, MANY = 5, 20_000
NOISE = Noise(KEYS, step=4)
REAL = [name for name, entry in PRIORS.items() if not entry.discrete]
DISCRETE = [name for name, entry in PRIORS.items() if entry.discrete]
LAWS = [
    (posterior, name)
    for posterior, name in pairs()
    if name in REAL and (name == "vamp" or posterior == posterior_for(name))
]
"""Every real prior; with every posterior, where that makes it."""


def model_with(name, **more):
    return model_of(posterior_for(name), name, **more)


# ------------------------------------------------------------------ what holds for every prior


@pytest.mark.parametrize("name", PRIORS)
def test_samples_are_codes_of_which_the_density_is_one_number(name):
    model = model_with(name)
    z = model.prior().sample(NOISE, 6, model.family.latent)
    width = D * C if PRIORS[name].discrete else D
    assert z.shape == (S, 6, width)
    assert len(z.flatten(0, 1).unique(dim=0)) > 3
    assert model.prior().log_prob(z.double().expand(K, S, 6, width)).shape == (K, S, 6)


@pytest.mark.parametrize("name", PRIORS)
def test_a_run_has_the_same_prior_alone_and_in_a_stack(name):
    model = model_with(name)
    z = model.prior().sample(NOISE, 6, model.family.latent)
    log_p = model.prior().log_prob(z[None].double())
    for run in range(S):
        alone = select(model, [run]).prior()
        of_run = alone.sample(Noise(KEYS[run : run + 1], step=4), 6, model.family.latent)
        torch.testing.assert_close(of_run, z[run : run + 1])
        torch.testing.assert_close(alone.log_prob(of_run[None].double()), log_p[:, run : run + 1])


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "name"), LAWS)
def test_in_one_dimension_the_density_integrates_to_the_law_of_the_samples(posterior, name):
    model = model_of(posterior, name, dim=1)
    points = torch.linspace(-30.0, 30.0, 20_001, dtype=torch.float64)
    density = model.prior().log_prob(points.view(-1, 1, 1, 1).expand(-1, S, 1, 1)).exp()[..., 0]
    samples = model.prior().sample(NOISE, MANY, Latent(1))[..., 0]
    for run in range(S):
        below = torch.cumulative_trapezoid(density[:, run], points)
        assert float(below[-1]) == pytest.approx(1.0, abs=1e-6)
        cdf = functools.partial(np.interp, xp=points[1:].numpy(), fp=below.numpy())
        assert stats.kstest(samples[run].numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISCRETE)
def test_the_density_of_codes_is_how_often_they_are_sampled(name):
    p, codes = model_with(name).prior(), one_hot_codes()
    probabilities = p.log_prob(codes[:, None, None].expand(-1, S, 1, -1)).exp()[..., 0]
    torch.testing.assert_close(probabilities.sum(0), torch.ones(S, dtype=torch.float64))
    samples = p.sample(NOISE, MANY, Latent(D, C))
    computed = (samples[:, :, None] == codes).all(-1).double().mean(1).T  # [C^D, S]
    error = (probabilities * (1 - probabilities) / MANY).sqrt()
    assert ((computed - probabilities).abs() <= 4.5 * error).all()


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "name"), pairs())
def test_the_kl_is_the_mean_of_the_log_ratio(posterior, name):
    model = model_of(posterior, name)
    q, p = model.posterior(images()), model.prior()
    kl, parts = p.kl(q), p.kl_per_dimension(q)
    if kl is None:
        assert parts is None
        return
    draw = q.draw(Drawing(NOISE, MANY, densities))
    log_q = q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x
    assert kl.shape == (S, B)
    assert within_error(log_q - p.log_prob(draw.z), kl)
    if parts is not None:
        assert parts.shape == (S, B, D)
        torch.testing.assert_close(parts.sum(-1), kl)


@pytest.mark.parametrize("name", [name for name in PRIORS if PRIORS[name].learned])
def test_every_learned_tensor_has_a_gradient(name):
    model = model_with(name)
    z = model.prior().sample(NOISE, B, model.family.latent).detach().double()
    model.prior().log_prob(z[None]).sum().backward()
    for parameter in model.learned_prior.values():
        assert parameter.shape[0] == S
        assert parameter.grad.isfinite().all()
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all()


# ------------------------------------------------------------------ each prior by hand


@pytest.mark.parametrize("posterior", [name for name, e in POSTERIORS.items() if e.discrete])
def test_the_kl_of_discrete_codes_is_the_sum_over_all_of_them(posterior):
    model = model_of(posterior, "uniform_categorical")
    q, p = model.posterior(images()), model.prior()
    codes = one_hot_codes()[:, None, None].expand(-1, S, B, -1)
    log_q, log_p = q.log_prob(codes), p.log_prob(codes)
    torch.testing.assert_close(p.kl(q), (log_q.exp() * (log_q - log_p)).sum(0))


def mixture_by_hand(mu, log_var, scores, run):
    components = torch.distributions.Independent(
        torch.distributions.Normal(mu[run], torch.exp(0.5 * log_var[run])), 1
    )
    weights = torch.distributions.Categorical(logits=scores[run, 0])
    return torch.distributions.MixtureSameFamily(weights, components)


def test_a_mixture_is_torchs():
    model = model_with("mixture_of_gaussians")
    z = 3.0 * torch.randn(K, S, B, D, generator=torch.Generator().manual_seed(0)).double()
    log_p = model.prior().log_prob(z)
    assert model.learned_prior["mu"].shape == (S, COMPONENTS, D)
    for run in range(S):
        law = mixture_by_hand(**model.learned_prior, run=run)
        torch.testing.assert_close(log_p[:, run], law.log_prob(z[:, run]))


def test_the_components_of_vamp_are_the_posteriors_of_its_pseudo_inputs():
    model = model_with("vamp")
    pseudo = model.learned_prior["pseudo_inputs"]
    assert pseudo.shape == (S, COMPONENTS, P)
    q = model.posterior(pseudo.sigmoid())
    z = torch.randn(K, S, B, D, generator=torch.Generator().manual_seed(0)).double()
    law = torch.distributions.Normal(q.mu[:, None], torch.exp(0.5 * q.log_var[:, None]))
    by_component = law.log_prob(z[..., None, :]).sum(-1)  # [K, S, B, C]
    torch.testing.assert_close(model.prior().log_prob(z), densities.log_mean_exp(by_component, -1))


def test_the_gradient_of_vamp_reaches_encoder_and_pseudo_inputs():
    model = model_with("vamp")
    z = torch.randn(K, S, B, D, generator=torch.Generator().manual_seed(0)).double()
    model.prior().log_prob(z).sum().backward()
    for parameter in (*model.encoder.parameters(), model.learned_prior["pseudo_inputs"]):
        assert float(parameter.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", [name for name in PRIORS if PRIORS[name].learned])
def test_training_a_prior_leaves_the_noise_that_it_started_from(name):
    """Normals are kept for the next who reads them: training must not move them in place."""
    posterior = posterior_for(name)
    config = run_config(sampled(posterior), posterior=posterior, prior=name, learning_rate=0.1)
    model, steps = steps_of([config])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert len(list(steps)) == config.train.num_steps
    fresh, _ = steps_of([config])
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, before[key])
        assert key.startswith("fitted") or not torch.equal(value, model.state_dict()[key])


def test_vamp_refuses_components_of_which_no_density_is_known():
    with pytest.raises(InputError, match="'planar_flow' has no closed form for log q"):
        run_config("elbo_mc", posterior="planar_flow", prior="vamp")


def test_a_prior_cannot_learn_what_its_function_does_not_take():
    with pytest.raises(InputError, match=r"'law' learns 'sprea.*did you mean 'spread'"):

        @prior(source="this test", sample=None, learned={"sprea": None})
        def law(z, *, spread=1.0):
            return z.sum(-1)

    assert "law" not in PRIORS
