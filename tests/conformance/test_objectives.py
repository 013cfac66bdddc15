"""Conformance over the registry: what every objective declares, and how it is called."""

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

from vaebench.config.compatibility import refusal
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.diagnostics.certify import check_objective
from vaebench.models import Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.terms import Terms, compute_terms
from vaebench.objectives import OBJECTIVES, GradientOf, SameAs
from vaebench.objectives.entry import Objective
from vaebench.ops.noise import Noise, key

K, S, B, D, P = 4, 3, 5, 2, 7
"""All different, and K even, for two groups."""
EACH = pytest.mark.parametrize("entry", OBJECTIVES.values(), ids=lambda entry: entry.name)


def hyper_of(entry, num_runs=None):
    """The defaults, or a value of its own for each of a number of runs; counts are one for all."""
    values = {
        name: sum(h.search) / 2 if h.default is None else h.default
        for name, h in entry.hyper.items()
    }
    counts = {name: int(values[name]) for name in entry.counts}
    if num_runs is None:
        return values | counts
    spread = torch.linspace(0.5, 1.0, num_runs, dtype=torch.float64)[:, None]
    inside = {name: (v * spread).clamp_min(entry.hyper[name].low) for name, v in values.items()}
    return inside | counts


def state_of(entry, terms):
    """What every run starts from: [S, 1] each."""
    return {
        name: terms.z.new_full((terms.shape[0], 1), value)
        for name, value in entry.initial_state.items()
    }


def loss_of(entry, terms, **hyper):
    """The loss, by the entry itself: it checks the shape."""
    return entry(terms, **{**hyper_of(entry), **state_of(entry, terms), **hyper})


def model_and_data(entry, num_runs=S, dtype=torch.float64):
    noise = Noise(tuple(key(seed, "objectives") for seed in range(num_runs)))
    network = entry.auxiliary and entry.auxiliary.network
    family = Family(LIKELIHOODS["bernoulli"], latent=Latent(D), auxiliary=network)
    model = build("mlp", family, image_shape=(P,), widths=(6,), noise=noise)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand((num_runs, B, P), generator=generator) < 0.5).to(dtype)
    return model.to(dtype), x, noise


def terms_of(entry, dtype=torch.float64):
    return compute_terms(*model_and_data(entry, dtype=dtype), num_samples=K, num_examples=50)


@EACH
def test_every_declared_fact_holds(entry):
    findings = list(check_objective(entry))
    assert len(findings) > 5
    assert not [finding for finding in findings if not finding.holds]


@EACH
def test_loss_has_one_value_per_run_and_example(entry):
    loss = loss_of(entry, terms_of(entry))
    assert loss.shape == (S, B)
    assert loss.isfinite().all()


@EACH
def test_a_hyperparameter_per_run_is_each_run_with_its_own(entry):
    stacked_hyper = hyper_of(entry, S)
    stacked = loss_of(entry, terms_of(entry), **stacked_hyper)
    for run in range(S):
        of_run = {n: v if n in entry.counts else float(v[run]) for n, v in stacked_hyper.items()}
        torch.testing.assert_close(stacked[run], loss_of(entry, terms_of(entry), **of_run)[run])


LACKING = {
    "independent_dimensions": ("full_gaussian", "standard_normal"),
    "closed_form_kl": ("diagonal_gaussian", "mixture_of_gaussians"),
    "log_qz_x_at_any_z": ("planar_flow", "mixture_of_gaussians"),
}
"""A posterior and a prior that lack just that, the most specific need first."""


@EACH
def test_what_it_needs_is_what_it_is_refused_without(entry):
    counts = tuple((name, 1) for name in entry.counts)
    num_samples = max(2, entry.min_samples)
    refused = [
        need
        for need, (posterior, prior) in LACKING.items()
        if refusal(entry.name, "bernoulli", posterior, prior, num_samples, counts)
    ]
    assert entry.needs == next(iter(refused), None)


SMOOTH = [
    entry
    for entry in OBJECTIVES.values()
    if not entry.gradient_of and entry.bound != "upper" and entry.auxiliary is None
]
"""Objectives whose gradient is that of their value, a function of the terms alone."""


@pytest.mark.slow
@pytest.mark.parametrize("entry", SMOOTH, ids=lambda entry: entry.name)
def test_gradients_against_finite_differences(entry):
    """Through the terms as leaves: autograd in float64 against central differences."""
    generator = torch.Generator().manual_seed(1)
    leaves = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((S, B, D), (S, B, D), (K, S, B, D), (K, S, B))
    ]

    def loss(mu, log_var, z, log_px_z):
        q, noise = DiagonalGaussian(mu, log_var), Noise((1, 2, 3))
        terms = Terms(q, z, log_px_z, num_examples=50, latent=Latent(D), noise=noise)
        return loss_of(entry, terms)

    assert gradcheck(loss, leaves)


@pytest.mark.slow
@pytest.mark.parametrize("entry", SMOOTH, ids=lambda entry: entry.name)
def test_gradients_of_a_model_against_finite_differences(entry):
    """Through encoder, reparameterisation and decoder, noise held fixed."""
    model, x, noise = model_and_data(entry)

    def loss():
        return loss_of(entry, compute_terms(model, x, noise, num_samples=K, num_examples=50)).sum()

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
    single, double = (loss_of(entry, terms_of(entry, d)) for d in (torch.float32, torch.float64))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@EACH
def test_a_warm_up_of_the_rate_reaches_the_loss_unless_it_is_refused(entry):
    # More than 1: a floor may lie above the rate of a model that has not been trained.
    weighted = dataclasses.replace(terms_of(entry), rate_weight=100.0)
    assert (
        torch.equal(loss_of(entry, terms_of(entry)), loss_of(entry, weighted)) == entry.ignores_rate
    )


@EACH
def test_a_warm_up_per_run_is_each_run_with_its_own(entry):
    weights = torch.tensor([[0.1], [0.5], [1.0]], dtype=torch.float64)
    stacked = loss_of(entry, dataclasses.replace(terms_of(entry), rate_weight=weights))
    for run, weight in enumerate(weights[:, 0].tolist()):
        alone = loss_of(entry, dataclasses.replace(terms_of(entry), rate_weight=weight))
        torch.testing.assert_close(stacked[run], alone[run])


@EACH
def test_too_few_samples_are_refused_or_the_limit_of_one(entry):
    """Below the least number of samples an objective raises, or is one that has a simpler name."""
    model, x, noise = model_and_data(entry)
    if entry.min_samples > 1:
        with pytest.raises(InputError, match="num_samples"):
            loss_of(entry, compute_terms(model, x, noise, num_samples=1))


def test_a_loss_of_another_shape_is_refused():
    entry = Objective("mine", lambda t: t.kl.mean(), source="", bound="none")
    with pytest.raises(InputError, match="one loss per run and example, \\(3, 5\\); got \\(\\)"):
        entry(terms_of(entry))


@pytest.mark.parametrize(
    ("facts", "function", "message"),
    [
        ({"bound": "lowr"}, lambda t: t.kl, "bound must be one of"),
        ({"bound_for": {"gama": (1, 2)}}, lambda t, *, gamma=1.0: t.kl, "did you mean 'gamma'"),
        ({"penalises": {"gama": sum}}, lambda t, *, gamma=1.0: t.kl, "did you mean 'gamma'"),
        ({"same_as": (SameAs("elbo", at={"b": 1}),)}, lambda t: t.kl, "declares a fact of 'b'"),
        ({"gradient_of": {"prior": GradientOf("elbo")}}, lambda t: t.kl, "encoder or decoder"),
        ({"state": ("m",)}, lambda t, *, m=1.0: t.kl, "state and update go together"),
        ({"update": dict}, lambda t: t.kl, "state and update go together"),
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
    assert OBJECTIVES["miwae"].counts == ("groups",)
    assert set(OBJECTIVES["geco"].hyper) == {"target", "momentum", "speed"}
