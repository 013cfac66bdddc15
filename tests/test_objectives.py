"""Conformance over the registry: what an objective declares, and its gradients."""

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

from vaebench.certify import NUM_SAMPLES, check, draws, linear_gaussian
from vaebench.errors import InputError
from vaebench.hyper import Hyper
from vaebench.likelihoods import LIKELIHOODS
from vaebench.models import build
from vaebench.noise import Noise, key
from vaebench.objectives import OBJECTIVES, SameAs
from vaebench.objectives.entry import Objective
from vaebench.terms import Terms, compute_terms

K, S, B, D, P = 3, 2, 4, 2, 5
EACH = pytest.mark.parametrize("entry", OBJECTIVES.values(), ids=lambda entry: entry.name)


def hyper_of(entry, num_runs=None):
    """The defaults, or a value of its own for each of a number of runs."""
    values = {name: h.default for name, h in entry.hyper.items()}
    if num_runs is None:
        return values
    spread = torch.linspace(0.5, 1.5, num_runs, dtype=torch.float64)[:, None]
    return {name: value * spread for name, value in values.items()}


def model_and_data(num_runs=S, dtype=torch.float64):
    noise = Noise(tuple(key(seed, "objectives") for seed in range(num_runs)))
    model = build(
        "mlp",
        pixels=P,
        latent_dim=D,
        widths=(6,),
        likelihood=LIKELIHOODS["bernoulli"],
        hyper={},
        noise=noise,
    )
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand((num_runs, B, P), generator=generator) < 0.5).to(dtype)
    return model.to(dtype), x, noise


@EACH
def test_every_declared_fact_holds(entry):
    findings = list(check(entry))
    assert findings
    assert not [finding for finding in findings if not finding.holds]


@EACH
def test_loss_has_one_value_per_run_and_example(entry):
    model, x, noise = model_and_data()
    loss = entry.loss(compute_terms(model, x, noise, num_samples=K), **hyper_of(entry))
    assert loss.shape == (S, B)
    assert loss.isfinite().all()


@EACH
def test_a_hyperparameter_per_run_is_each_run_with_its_own(entry):
    model, x, noise = model_and_data()
    terms = compute_terms(model, x, noise, num_samples=K)
    stacked = entry.loss(terms, **hyper_of(entry, S))
    for run in range(S):
        own = {name: float(value[run]) for name, value in hyper_of(entry, S).items()}
        torch.testing.assert_close(stacked[run], entry.loss(terms, **own)[run])


@EACH
def test_gradients_against_finite_differences(entry):
    """Through the terms as leaves: autograd in float64 against central differences."""
    generator = torch.Generator().manual_seed(1)
    leaves = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((S, B, D), (S, B, D), (K, S, B, D), (S, B), (K, S, B))
    ]
    assert gradcheck(lambda *parts: entry.loss(Terms(*parts), **hyper_of(entry)), leaves)


@EACH
def test_gradients_of_a_model_against_finite_differences(entry):
    """Through encoder, reparameterisation and decoder, noise held fixed."""
    model, x, noise = model_and_data()

    def loss():
        return entry.loss(compute_terms(model, x, noise, num_samples=K), **hyper_of(entry)).sum()

    loss().backward()
    step = 1e-5
    for parameter in model.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(0, len(flat), max(1, len(flat) // 5)):
            kept = float(flat[i])
            values = []
            for moved in (kept + step, kept - step):
                flat[i] = moved
                values.append(float(loss().detach()))
            flat[i] = kept
            slope = (values[0] - values[1]) / (2 * step)
            assert float(gradient[i]) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@EACH
def test_float32_is_close_to_float64(entry):
    losses = []
    for dtype in (torch.float32, torch.float64):
        model, x, noise = model_and_data(dtype=dtype)
        terms = compute_terms(model, x, noise, num_samples=K)
        losses.append(entry.loss(terms, **hyper_of(entry)).double())
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)


@EACH
def test_a_warm_up_of_the_rate_reaches_the_loss_unless_it_is_refused(entry):
    terms = draws(linear_gaussian(wrong=1.0), NUM_SAMPLES)
    halved = dataclasses.replace(terms, rate_weight=0.5)
    same = torch.equal(entry.loss(terms, **hyper_of(entry)), entry.loss(halved, **hyper_of(entry)))
    assert same == entry.ignores_rate


def test_a_weighted_elbo_is_the_beta_elbo():
    terms = draws(linear_gaussian(wrong=1.0), NUM_SAMPLES)
    weighted = OBJECTIVES["elbo"].loss(dataclasses.replace(terms, rate_weight=3.0))
    torch.testing.assert_close(weighted, OBJECTIVES["beta_elbo"].loss(terms, beta=3.0))


def test_reconstruction_only_is_the_mse_of_the_article_up_to_a_factor():
    """Under a Gaussian likelihood its gradient is the bare MSE loop's, times a positive number."""
    sigma = 0.3
    gradients = []
    for loss_of in (
        lambda model, x, terms: OBJECTIVES["reconstruction_only"].loss(terms).mean(),
        lambda model, x, terms: torch.nn.functional.mse_loss(model.decode(terms.z)[0], x),
    ):
        model = build(
            "mlp",
            pixels=P,
            latent_dim=D,
            widths=(6,),
            likelihood=LIKELIHOODS["gaussian"],
            hyper={"sigma": sigma},
            noise=Noise((5,)),
        ).double()
        x = torch.linspace(0, 1, B * P, dtype=torch.float64).view(1, B, P)
        loss_of(model, x, compute_terms(model, x, Noise((6,)))).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1] * P / (2 * sigma**2))


WRONG = {
    "dropped log K": (
        lambda t: -torch.logsumexp(t.log_w, 0),
        {"bound": "lower", "tight": True},
    ),
    "inverted weights": (
        lambda t: torch.logsumexp(-t.log_w, 0) - torch.log(torch.tensor(float(len(t.log_w)))),
        {"bound": "lower", "tight": True, "no_looser_than": ("elbo",)},
    ),
    "sum over K": (lambda t: -t.log_w.sum(0), {"bound": "lower", "tight": True}),
    "KL without its half": (
        lambda t: t.distortion + 2 * t.rate,
        {"bound": "lower", "same_as": (SameAs("elbo"),)},
    ),
    "a sum over samples left out": (lambda t: -t.log_w, {"bound": "lower"}),
    "a scalar": (lambda t: (t.distortion + t.rate).mean(), {"bound": "lower"}),
    "mixes stack-mates": (
        lambda t: (t.distortion + t.rate).mean(0, keepdim=True).expand_as(t.kl),
        {"bound": "lower"},
    ),
    "a rate without gradient": (
        lambda t: t.distortion + t.rate.detach(),
        {"bound": "lower", "same_as": (SameAs("elbo"),)},
    ),
    "the rate of the batch": (lambda t: t.distortion + t.rate.mean(-1, True), {"bound": "lower"}),
    "deaf to a warm-up": (lambda t: t.distortion + t.kl, {"bound": "lower"}),
    "no rate": (lambda t: t.distortion, {"bound": "lower"}),
    "mean over the batch": (
        lambda t: (t.distortion + t.rate) / t.kl.shape[-1],
        {"bound": "none"},
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_certification_rejects_wrong_objectives(fault):
    loss, facts = WRONG[fault]
    entry = Objective(fault, loss, source="", **facts)
    assert not all(finding.holds for finding in check(entry))


def test_certification_rejects_a_hyperparameter_that_does_nothing():
    def unused(t: Terms, *, gamma: float = 1.0) -> torch.Tensor:
        return t.distortion + t.rate

    assert not all(f.holds for f in check(Objective("unused", unused, source="", bound="lower")))


@pytest.mark.parametrize(
    ("facts", "function", "message"),
    [
        ({"bound": "lowr"}, lambda t: t.kl, "bound must be one of"),
        ({"bound_for": {"gama": (1, 2)}}, lambda t, *, gamma=1.0: t.kl, "did you mean 'gamma'"),
        ({"same_as": (SameAs("elbo", at={"b": 1}),)}, lambda t: t.kl, "declares a fact of 'b'"),
        ({}, lambda t, gamma=1.0: t.kl, "'gamma' does not"),
        ({}, lambda t, *, gamma="x": t.kl, "its signature cannot be read"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(facts, function, message):
    entry = Objective("mine", function, **{"source": "", "bound": "none", **facts})
    with pytest.raises(InputError, match=message):
        entry.check()


def test_the_decorator_reads_the_signature():
    assert OBJECTIVES["beta_elbo"].hyper == {
        "beta": Hyper((0.1, 10.0), log=True, low=0.0, default=4.0)
    }
