"""What the registries allow to be combined trains; what they refuse, they refuse with the reason.

The whole product has thousands of members, of which these are trained: every objective with every
posterior and prior, under Bernoulli; every likelihood with every posterior and prior, under the
ELBO; every objective with every likelihood, under a posterior and prior that take turns. So all
pairs of entries of two registries meet, and most triples, but few of the rest.
"""

import functools
import itertools

import pytest
import torch

from tests.support.runs import pairs, run_config, sampled, steps_of
from vaebench.config.build import load_data, streams
from vaebench.config.compatibility import refusal
from vaebench.core.errors import InputError
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES

pytestmark = pytest.mark.slow


K, NUM_STEPS = 2, 8
"""The fewest samples that every objective can be trained with."""
OTHERS = [name for name in LIKELIHOODS if name != "bernoulli"]


@functools.cache
def codes_of(objective):
    """The posteriors and priors that an objective can be trained with."""
    entry = OBJECTIVES[objective]
    counts = tuple((name, int(entry.hyper[name].default)) for name in entry.counts)
    return [
        pair
        for pair in itertools.product(POSTERIORS, PRIORS)
        if not refusal(objective, "bernoulli", *pair, K, counts)
    ]


def with_objective(objective):
    """The likelihood, posterior and prior of each run that an objective is trained with."""
    first, codes = list(OBJECTIVES).index(objective), codes_of(objective)
    turns = [(name, *codes[(first + i) % len(codes)]) for i, name in enumerate(OTHERS)]
    return [("bernoulli", *pair) for pair in codes] + turns


def check_training(objective, likelihood, posterior, prior):
    """Steps of two runs side by side, and their grades: nothing leaves the reals."""
    codes = {"posterior": posterior, "prior": prior}
    configs = [
        run_config(objective, likelihood, **codes, num_samples=K, num_steps=NUM_STEPS, seed=seed)
        for seed in (0, 1)
    ]
    model, steps = steps_of(configs)
    before = [parameter.detach().clone() for parameter in model.decoder.parameters()]
    finite = torch.stack([step.loss.isfinite() & _point_is_finite(step) for step in steps])
    what = f"{objective}, {likelihood}, {posterior}, {prior}"
    assert finite.shape == (NUM_STEPS, 2), what
    assert finite.all(), what
    for parameter in model.parameters():
        assert parameter.isfinite().all(), what
        assert parameter.grad is None or parameter.grad.isfinite().all(), what
    for old, new in zip(before, model.decoder.parameters(), strict=True):
        assert not torch.equal(old, new), what
    x = load_data(configs[0].data).observe("valid")[:5]
    graded = bounds(model, x, streams(configs, "curve"), num_samples=3)
    assert (graded.elbo.isfinite() & graded.nll.isfinite()).all(), what


def _point_is_finite(step):
    """Whether the point of the learning curve is finite: [S]."""
    return (step.terms.kl_or_estimate + step.terms.distortion).mean(-1).isfinite()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_with_what_it_allows(objective):
    for case in with_objective(objective):
        check_training(objective, *case)


@pytest.mark.parametrize("likelihood", OTHERS)
def test_every_likelihood_trains_with_every_posterior_and_prior(likelihood):
    for posterior, prior in pairs():
        check_training(sampled(posterior), likelihood, posterior, prior)


def test_all_pairs_of_entries_meet():
    trained = {(name, *case) for name in OBJECTIVES for case in with_objective(name)}
    assert {o for o, *_ in trained} == set(OBJECTIVES)
    assert {(o, x) for o, x, _, _ in trained} == set(itertools.product(OBJECTIVES, LIKELIHOODS))
    assert {q for q, _ in pairs()} == set(POSTERIORS)
    assert {p for _, p in pairs()} == set(PRIORS)


def test_what_the_registries_allow_is_what_has_formulas():
    """A longer list of refusals would make the test above pass with less."""
    real = {"diagonal_gaussian", "full_gaussian", "planar_flow", "iaf", "hierarchical", "ladder"}
    priors = {"standard_normal", "mixture_of_gaussians", "vamp", "hierarchical"}
    discrete = {"categorical", "gumbel_softmax"}
    over_codes = {"uniform_categorical", "learned_categorical"}
    any_real = set(itertools.product(real, priors)) - {("planar_flow", "vamp")}
    any_codes = set(itertools.product(discrete, over_codes))
    gaussian = {(q, "standard_normal") for q in ("diagonal_gaussian", "full_gaussian")}
    closed = gaussian | any_codes | {("ladder", "hierarchical")}
    of_density = any_real | {(q, p) for q, p in any_codes if q == "categorical"}
    no_planar = {(q, p) for q, p in any_real if q != "planar_flow"}
    by_dimension = {("diagonal_gaussian", "standard_normal")} | any_codes
    expected = {
        "elbo": closed,
        "beta_elbo": closed,
        "geco": closed,
        "capacity_of_batch": closed,
        "factor_vae": closed,
        "elbo_mc": of_density,
        "iwae": of_density,
        "tvo": of_density,
        "elbo_stl": no_planar,
        "dreg": no_planar,
        "free_bits_per_dimension": by_dimension,
        "beta_tc": {("diagonal_gaussian", p) for p in priors},
        "reconstruction_only": any_real | any_codes,  # planar vamp trains, but has no grade
        "wae_mmd": any_real | any_codes,
    }
    for objective, allowed in expected.items():
        assert set(codes_of(objective)) == allowed, objective


# ------------------------------------------------------------------ refusals


def codes(posterior, prior="standard_normal"):
    return {"posterior": posterior, "prior": prior}


ELBO_MC = "has no closed form for posterior {} and prior {}: choose elbo_mc"
DEQUANTISED = {"name": "digits", "dequantise": True}
TARGET = {"name": "geco", "target": 30.0}
REFUSED = {
    "flow": ("elbo", codes("iaf"), ELBO_MC.format("'iaf'", "'standard_normal'")),
    "mixture": (
        "elbo",
        codes("diagonal_gaussian", "mixture_of_gaussians"),
        ELBO_MC.format("'diagonal_gaussian'", "'mixture_of_gaussians'"),
    ),
    "vamp": (
        "beta_elbo",
        codes("full_gaussian", "vamp"),
        ELBO_MC.format("'full_gaussian'", "'vamp'"),
    ),
    "geco and a flow": (TARGET, codes("planar_flow"), ELBO_MC.format("'planar_flow'", ".*")),
    "discrete codes, real prior": (
        "elbo",
        codes("categorical"),
        "'categorical' has discrete codes, to which prior 'standard_normal' gives no probability: "
        "choose prior 'uniform_categorical'",
    ),
    "real codes, discrete prior": (
        "elbo",
        codes("iaf", "uniform_categorical"),
        "'iaf' has real codes.*: choose prior 'standard_normal'",
    ),
    "jackknife of one": ("jackknife", {"num_samples": 1}, "needs num_samples >= 2; got 1"),
    "jackknife of high order": (
        {"name": "jackknife", "order": 3},
        {"num_samples": 3},
        "order must be below num_samples, .* got order 3 of 3 samples",
    ),
    "miwae": (
        {"name": "miwae", "groups": 2},
        {"num_samples": 5},
        "groups must divide num_samples; got 2 groups of 5 samples",
    ),
    "piwae": ({"name": "piwae", "groups": 3}, {}, "groups must divide num_samples; got 3 groups"),
    "stl": ("elbo_stl", codes("planar_flow"), "'planar_flow' has no closed form for log q"),
    "dreg": ("dreg", codes("planar_flow"), "'planar_flow' has no closed form for log q"),
    "stl of discrete codes": (
        "elbo_stl",
        codes("categorical", "uniform_categorical"),
        "'categorical' has no closed form for the path derivative, as its codes are discrete",
    ),
    "dreg of discrete codes": (
        "dreg",
        codes("categorical", "uniform_categorical"),
        "'categorical' has no closed form for the path derivative",
    ),
    "relaxed codes": (
        "elbo_mc",
        codes("gumbel_softmax", "uniform_categorical"),
        "'gumbel_softmax' has no closed form for log q.* of a relaxed code: choose .* elbo, or",
    ),
    "planar vamp": (
        "elbo_mc",
        codes("planar_flow", "vamp"),
        "'planar_flow' has no closed form for log q.* and a prior other than vamp",
    ),
    "without a grade": (
        "reconstruction_only",
        codes("planar_flow", "vamp"),
        "'planar_flow' has no closed form for log q.* and a prior other than vamp",
    ),
    "free bits": (
        "free_bits_per_dimension",
        codes("full_gaussian"),
        "does not split over dimensions for posterior 'full_gaussian'.*: choose posterior",
    ),
    "total correlation": ("beta_tc", codes("iaf"), "independent over dimensions; got 'iaf'"),
    "dip": ("dip_vae_i", codes("iaf"), "no closed form for its mean"),
    "dequantised mass": (
        "elbo",
        {"likelihood": "categorical", "data": DEQUANTISED},
        "dequantised data need a likelihood that is a density; 'categorical' gives",
    ),
    "dequantised and binarised": (
        "elbo",
        {"likelihood": "laplace", "data": {**DEQUANTISED, "binarisation": "dynamic"}},
        "dequantised data must have binarisation 'none'; got 'dynamic'",
    ),
    "schedule on a count": (
        {"name": "miwae", "groups": {"name": "linear", "start": 1.0, "stop": 2.0}},
        {},
        "groups is a whole number, which has no schedule",
    ),
    "half a count": ({"name": "miwae", "groups": 1.5}, {}, "groups must be a whole number"),
    "state": ({**TARGET, "multiplier": 2.0}, {}, "has no hyperparameter 'multiplier'"),
    "warm-up of nothing": ("wae_mmd", {"rate_weight": 0.5}, "'wae_mmd' ignores the rate"),
    "groups of dimensions": (
        {"name": "free_bits_per_group", "groups": 3},
        {},
        "there can be at most 2 groups, one per dimension; got 3",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_combined_is_refused_with_the_reason(what):
    objective, more, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        run_config(objective, more.get("likelihood", "bernoulli"), **_without(more, "likelihood"))


def _without(table, name):
    return {key: value for key, value in table.items() if key != name}
