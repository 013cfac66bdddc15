"""The evaluation of every posterior and prior, and of dequantised images."""

import dataclasses
import math

import pytest
import torch

from tests.support.families import KEYS, P, S, model_of
from tests.support.runs import pairs, run_config, steps_of
from vaebench import results
from vaebench.config.build import load_data, streams
from vaebench.evaluation import Subject, evaluate, with_own_streams
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models import select
from vaebench.models.posteriors import POSTERIORS, Drawing
from vaebench.models.priors import PRIORS
from vaebench.models.terms import compute_terms
from vaebench.ops import densities
from vaebench.ops.noise import Noise, uniforms

K, N = 20, 9
NOISE = Noise(KEYS, step=7)


def observations():
    """Binary images [N, P], the same for all runs."""
    return (uniforms(Noise(KEYS[:1], step=8), N, P)[0] < 0.4).double()


def bounds_of(model, noise=NOISE, **more):
    return bounds(model, observations(), noise, num_samples=K, **more)


# ------------------------------------------------------------------ bounds


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_bounds_are_those_of_the_log_weights_by_hand(posterior, prior):
    model = model_of(posterior, prior)
    x = observations().expand(S, N, P)
    q, p = model.posterior(x), model.prior()
    draw = q.draw(Drawing(NOISE, K, densities))
    log_q = q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x
    law = torch.distributions.Bernoulli(logits=model.decode(draw.z))
    log_px_z = law.log_prob(x).sum(-1)
    log_w = log_px_z + p.log_prob(draw.z) - log_q
    computed, kl = bounds_of(model), p.kl(q)
    torch.testing.assert_close(computed.nll, math.log(K) - torch.logsumexp(log_w, 0))
    torch.testing.assert_close(computed.distortion, -log_px_z.mean(0))
    torch.testing.assert_close(
        computed.elbo, log_w.mean(0) if kl is None else log_px_z.mean(0) - kl
    )
    torch.testing.assert_close(computed.elbo, -computed.distortion - computed.rate)


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_the_elbo_is_below_the_importance_weighted_bound(posterior, prior):
    """Example by example where both are of the same samples; else on average."""
    computed = bounds_of(model_of(posterior, prior))
    gap = -computed.nll - computed.elbo
    assert float(gap.mean()) > 0.1
    model = model_of(posterior, prior)
    sampled = model.prior().kl(model.posterior(observations().expand(S, N, P))) is None
    assert (gap.min() > -1e-9) or not sampled


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_chunks_and_stacks_do_not_show(posterior, prior):
    model = model_of(posterior, prior)
    whole = bounds_of(model)
    torch.testing.assert_close(vars(bounds_of(model, max_bytes=3000)), vars(whole))
    for run in range(S):
        alone = bounds_of(select(model, [run]), Noise(KEYS[run : run + 1], step=7))
        for name, values in vars(alone).items():
            torch.testing.assert_close(values, getattr(whole, name)[run : run + 1])


def test_gumbel_softmax_is_graded_on_hard_codes():
    """The same weights under the posterior that is never relaxed get the same grades."""
    relaxed = model_of("gumbel_softmax", "uniform_categorical")
    hard = model_of("gumbel_softmax", "uniform_categorical")
    hard.family = dataclasses.replace(hard.family, posterior=POSTERIORS["categorical"])
    torch.testing.assert_close(vars(bounds_of(relaxed)), vars(bounds_of(hard)))
    x = observations().expand(S, N, P)
    for training in (False, True):
        z = compute_terms(relaxed, x, NOISE, num_samples=K, training=training).z
        assert bool(((z == 0) | (z == 1)).all()) is not training


# ------------------------------------------------------------------ the whole evaluation


FIGURES = {
    *("elbo", "nll", "rate", "distortion", "ess", "valid_elbo", "valid_nll", "bits_per_dim"),
    *("active_units", "mse", "collapsed", "rate_per_dimension"),
    *("frechet", "kid", "precision", "recall", "density", "coverage", "memorised"),
    *("c2st_accuracy", "c2st_p_value"),
}
BY_FORMULA = {"collapsed", "rate_per_dimension"}
"""Figures of the KL of each dimension, which some pairs of posterior and prior have no formula for.
"""


def of_layers(posterior, prior):
    """Figures of each of two layers: rates where q and p have them, the use of layers of either."""
    entries = POSTERIORS[posterior].conditionals, PRIORS[prior].layered
    names = ["active", "collapsed"] * any(entries) + ["rate"] * all(entries)
    return {f"{name}_layer_{i}" for name in names for i in (1, 2)}


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_every_family_gets_every_figure(posterior, prior):
    objective = "elbo" if POSTERIORS[posterior].discrete else "elbo_mc"
    codes = {"posterior": posterior, "prior": prior}
    configs = [run_config(objective, **codes, seed=seed) for seed in (0, 1)]
    model, _ = steps_of(configs)
    dataset, noise = load_data(configs[0].data), streams(configs, "evaluate")
    stacked = evaluate(Subject(model, dataset, noise, num_samples=3, num_images=40)).grades
    key = Noise(noise.keys[1:])
    one = Subject(select(model, [1]), dataset, key, num_samples=3, num_images=40)
    alone = {metric.metric: metric.value for metric in results.metrics(evaluate(one).grades, 0)}
    computed = {metric.metric: metric for metric in results.metrics(stacked, 1)}
    assert computed.keys() == alone.keys() == FIGURES | of_layers(posterior, prior)
    for name, metric in computed.items():
        if metric.value is None:
            assert name in BY_FORMULA and "no formula" in metric.trust and alone[name] is None
        else:
            assert math.isfinite(metric.value), name
            assert metric.value == pytest.approx(alone[name], rel=1e-4, abs=1e-6), name


# ------------------------------------------------------------------ dequantised images


def dequantised(likelihood):
    """A model of dequantised digits, their data set, and the noise that grades it."""
    data = {"name": "digits", "dequantise": True}
    config = run_config("elbo", likelihood, data=data)
    model, _ = steps_of([config])
    return model, load_data(config.data), streams([config], "evaluate")


def test_images_that_a_model_knows_nothing_of_take_8_bits_a_pixel():
    """Beta(1, 1) is uniform, whatever the code; q(z|x) is the prior."""
    model, dataset, noise = dequantised("beta")
    raw_one = 0.1 + math.log(math.expm1(0.9))  # softly above 0.1, it is 1
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        list(model.decoder.parameters())[-1].fill_(raw_one)
    computed = evaluate(Subject(model, dataset, noise, num_samples=4, num_images=40)).values
    assert computed["bits_per_dim"][0] == pytest.approx(8.0, abs=1e-4)
    assert computed["nll"][0] == pytest.approx(64 * math.log(256), rel=1e-5)
    assert computed["elbo"][0] == pytest.approx(-computed["nll"][0], rel=1e-5)


@torch.no_grad()
def test_bits_per_dim_of_dequantised_images_count_the_volume_of_a_level():
    model, dataset, noise = dequantised({"name": "gaussian", "sigma": 0.3})
    subject = Subject(model, dataset, noise, num_samples=K, num_images=40)
    computed = evaluate(subject).values
    x = dataset.observe("test")
    q = model.posterior(x[None])
    z = q.draw(Drawing(with_own_streams(subject, "likelihood").noise, K, densities)).z
    log_w = torch.distributions.Normal(model.decode(z), 0.3).log_prob(x).sum(-1)
    log_w += torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z)
    nll = math.log(K) - torch.logsumexp(log_w, 0).mean() + 64 * math.log(256)
    assert computed["nll"][0] == pytest.approx(float(nll), rel=1e-5)
    assert computed["bits_per_dim"][0] == pytest.approx(float(nll) / (64 * math.log(2)), rel=1e-5)


def test_densities_of_images_as_they_are_have_no_bits_per_dim():
    config = run_config("elbo", "laplace")
    model, _ = steps_of([config])
    noise = streams([config], "evaluate")
    computed = evaluate(Subject(model, load_data(config.data), noise, num_samples=2, num_images=40))
    assert "bits_per_dim" not in computed.values
    assert model.log_volume == 0.0
