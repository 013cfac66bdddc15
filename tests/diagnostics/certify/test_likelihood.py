"""Likelihoods: right ones pass, built-in or of a user, and each wrong one is told by its fact."""

import math
from dataclasses import replace
from typing import Annotated

import pytest
import torch
from torch.nn import functional as F

from vaebench.core.hyper import Hyper
from vaebench.diagnostics.certify import check_likelihood
from vaebench.models.likelihoods import (
    BINARY,
    EIGHT_BIT,
    LIKELIHOODS,
    REAL,
    UNIT,
    Likelihood,
    Support,
    likelihood,
)
from vaebench.models.likelihoods.outputs import identity, per_run
from vaebench.models.likelihoods.real import optimal_log_sigma
from vaebench.ops import densities

Width = Annotated[float, Hyper((0.05, 2.0), low=1e-3)]
HALF_LINE = Support(
    "x above 0", lambda x: bool((x > 0).all() and x.isfinite().all()), interval=(0.0, math.inf)
)
COUNTS = Support(
    "x in 0 .. 4",
    lambda x: bool(((x == x.round()) & (x >= 0) & (x <= 4)).all()),
    values=(0.0, 1.0, 2.0, 3.0, 4.0),
)


def entry(log_prob, support=REAL, mean=identity, measure="density", **facts):
    return Likelihood(log_prob.__name__, log_prob, "", measure, support, mean, **facts)


def failing(entry):
    return {finding.fact for finding in check_likelihood(entry) if finding.fails}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_registered_likelihood_is_what_it_declares(name):
    assert failing(LIKELIHOODS[name]) == set()


# ------------------------------------------------------------------ a user's, and right


def logistic(x, out, *, width: Width = 0.1):
    away = (x - out) / per_run(width, out)
    return -(away + 2.0 * F.softplus(-away) + per_run(width, out).log()).sum(-1)


def student_t(x, out, *, width: Width):
    """Student's t of five degrees of freedom: tails that no exponential bounds."""
    scale = per_run(width, out)
    constant = math.lgamma(3.0) - math.lgamma(2.5) - 0.5 * math.log(5.0 * math.pi)
    return (constant - scale.log() - 3.0 * torch.log1p(((x - out) / scale).square() / 5.0)).sum(-1)


def exponential(x, out):
    return (-x * torch.exp(-out) - out).sum(-1)


def two_bumps(x, out):
    """Far from symmetric: its mean lies where it has almost no density."""
    parts = torch.stack([-2.0 * (x - out).square(), -2.0 * (x - out - 3.0).square()])
    weights = torch.tensor([0.7, 0.3]).log().view(2, 1, 1, 1, 1).to(out)
    return (torch.logsumexp(parts + weights, 0) - 0.5 * math.log(math.pi / 2.0)).sum(-1)


def binomial(x, out):
    """A binomial of four trials: a mass over counts."""
    choose = torch.lgamma(torch.tensor(5.0)) - torch.lgamma(x + 1) - torch.lgamma(5 - x)
    return (choose + x * F.logsigmoid(out) + (4 - x) * F.logsigmoid(-out)).sum(-1)


RIGHT = [
    entry(logistic),
    entry(student_t),
    entry(exponential, HALF_LINE, torch.exp),
    entry(two_bumps, mean=lambda out: out + 0.9),
    entry(binomial, COUNTS, lambda out: 4.0 * torch.sigmoid(out), "mass"),
]


@pytest.mark.parametrize("right", RIGHT, ids=lambda e: e.name)
def test_a_right_one_of_a_user_passes(right):
    assert failing(right) == set()


def poisson(x, out):
    """Counts without end, their rate exp(out)."""
    return (x * out - out.exp() - torch.lgamma(x + 1.0)).sum(-1)


def test_counts_without_end_pass_and_need_their_constant():
    counts = Support(
        "x in 0, 1, 2, ...",
        lambda x: bool(((x >= 0) & (x == x.round()) & x.isfinite()).all()),
        values=tuple(map(float, range(1001))),
        goes_on=True,
    )
    right = entry(poisson, counts, torch.exp, "mass")
    assert failing(right) == set()
    wrong = replace(right, log_prob=lambda x, out: (x * out - out.exp()).sum(-1))
    assert "sums to 1 over x in 0, 1, 2, ..." in failing(wrong)


def test_an_exposure_that_multiplies_no_mean_is_found():
    """Logits are no logs of means."""
    wrong = replace(LIKELIHOODS["bernoulli"], log_mean=True)
    assert "an exposure multiplies its mean" in failing(wrong)


# ------------------------------------------------------------------ wrong ones


def bare_mse(x, out):
    return -(x - out).square().sum(-1)


def without_constant(x, out, *, sigma: Width):
    scale = per_run(sigma, out)
    return -(0.5 * ((x - out) / scale).square() + scale.log()).sum(-1)


def mean_over_pixels(x, out):
    return (-0.5 * (x - out).square() - 0.5 * densities.LOG_2PI).mean(-1)


def ignores_sigma(x, out, *, sigma: Width):
    return densities.gaussian_log_prob(x, out, torch.zeros_like(out))


def one_sigma_for_all_runs(x, out, *, sigma: Width):
    sigma = torch.as_tensor(sigma, dtype=out.dtype).mean()
    return densities.gaussian_log_prob(x, out, 2.0 * sigma.log().expand_as(out))


def centred_over_runs(x, out):
    return densities.gaussian_log_prob(x, out - out.mean(1, keepdim=True), torch.zeros_like(out))


def centred_over_examples(x, out):
    return densities.gaussian_log_prob(x, out - out.mean(2, keepdim=True), torch.zeros_like(out))


def reads_its_neighbour(x, out):
    return densities.gaussian_log_prob(x, out.roll(1, -1), torch.zeros_like(out))


def sigma_without_gradient(x, out, *, log_sigma=0.0):
    log_sigma = per_run(log_sigma, out).detach()
    return densities.gaussian_log_prob(x, out, 2.0 * log_sigma)


def log_of_sigmoid(x, out):
    p = torch.sigmoid(out)
    return (x * p.log() + (1.0 - x) * (1.0 - p).log()).sum(-1)


def without_tails(x, out):
    """A discretised logistic whose outermost bins end where the others do."""
    half = 0.5 / 255
    masses = torch.sigmoid((x + half - out) * 10.0) - torch.sigmoid((x - half - out) * 10.0)
    return masses.clamp_min(1e-12).log().sum(-1)


def half_inside(x, out):
    return densities.gaussian_log_prob(x.half(), out.half(), torch.zeros_like(out)).to(out)


def per_pixel(x, out):
    return -0.5 * (x - out).square() - 0.5 * densities.LOG_2PI


def grey_bernoulli(x, out):
    return densities.bernoulli_log_prob(x, out)


def truncated(x, out):
    return densities.gaussian_log_prob(x, out, torch.zeros_like(out))


def gaussian(x, out, *, log_sigma):
    return densities.gaussian_log_prob(x, out, 2.0 * per_run(log_sigma, out))


def absolute(x, out):
    """The mean absolute residual is no maximum-likelihood sigma."""
    return (x - out).abs().mean((0, 2, 3)).log()[:, None]


def over_all_runs(x, out):
    return optimal_log_sigma(x, out).mean(0, keepdim=True).expand(out.shape[1], 1)


CONTINUOUS, BERNOULLI = LIKELIHOODS["continuous_bernoulli"], LIKELIHOODS["bernoulli"]
ANYTHING = replace(REAL, contains=lambda x: True)
BLIND, ADDS, MEAN = (
    "blind to its stack-mates",
    "adds over pixels",
    "its mean is that of the density",
)
OWN = "of its own sample and example alone"
EXTREMES = "finite, and so its gradient, at decoder outputs of ±30"
WRONG = [
    (entry(bare_mse), "integrates to 1 over x real"),
    (entry(without_constant), "integrates to 1 over x real"),
    (entry(mean_over_pixels), ADDS),
    (entry(ignores_sigma), "sigma changes the value"),
    (entry(one_sigma_for_all_runs), BLIND),
    (entry(centred_over_runs), BLIND),
    (entry(centred_over_examples), OWN),
    (entry(reads_its_neighbour), ADDS),
    (entry(sigma_without_gradient), "its gradient in the log_sigma is that of differences"),
    (entry(log_of_sigmoid, BINARY, torch.sigmoid, "mass"), EXTREMES),
    (entry(without_tails, EIGHT_BIT, identity, "mass"), f"sums to 1 over {EIGHT_BIT.description}"),
    (entry(half_inside), "its gradient in the outputs is that of differences"),
    (entry(per_pixel), "one log-probability per sample, run and example, one mean per pixel"),
    (entry(grey_bernoulli, UNIT, torch.sigmoid), "integrates to 1 over x in [0, 1]"),
    (entry(truncated, UNIT), "integrates to 1 over x in [0, 1]"),
    (replace(CONTINUOUS, mean=torch.sigmoid), MEAN),
    (replace(CONTINUOUS, support=REAL), "integrates to 1 over x real"),
    (replace(BERNOULLI, mean=identity), MEAN),
    (replace(BERNOULLI, measure="density"), "a mass is over values, a density over an interval"),
    (replace(LIKELIHOODS["laplace"], support=ANYTHING), "its support refuses other values, as nan"),
    (
        replace(BERNOULLI, support=replace(BINARY, contains=UNIT.contains)),
        "its support refuses other values, as 0.5",
    ),
    (
        replace(BERNOULLI, support=replace(BINARY, contains=lambda x: False)),
        "its support accepts its own values",
    ),
    (
        replace(BERNOULLI, support=Support("any", lambda x: True)),
        "normalisation cannot be checked: support declares neither values nor interval",
    ),
    (
        entry(gaussian, fitted={"log_sigma": absolute}),
        "fitted log_sigma is the most likely for the batch",
    ),
    (
        entry(gaussian, fitted={"log_sigma": over_all_runs}),
        "fitted log_sigma is one value per run, of that run alone",
    ),
    (
        entry(gaussian, fitted={"log_sigma": lambda x, out: optimal_log_sigma(x, out)[:, 0]}),
        "fitted log_sigma is one value per run, of that run alone",
    ),
]


@pytest.mark.parametrize(("wrong", "fact"), WRONG, ids=lambda v: getattr(v, "name", ""))
def test_a_wrong_one_is_told_by_its_fact(wrong, fact):
    assert fact in failing(wrong)


def test_a_log_probability_that_is_cut_off_is_a_remark():
    """It sums to 1 as nearly as can be told; binary cross-entropies elsewhere are so cut."""
    bernoulli = LIKELIHOODS["bernoulli"]

    def cut(x, out):
        return sum(p.clamp(min=-50.0) for p in bernoulli_pixels(x, out).unbind(-1))

    def bernoulli_pixels(x, out):
        return x * F.logsigmoid(out) + (1 - x) * F.logsigmoid(-out)

    findings = [f for f in check_likelihood(replace(bernoulli, log_prob=cut)) if not f.holds]
    assert [finding.result for finding in findings] == ["remark"]
    assert "an unlikely value has a gradient" in findings[0].fact


def test_whatever_a_plugin_raises_is_a_finding(monkeypatch):
    from vaebench.diagnostics.certify import certify

    def raises(x, out):
        raise TypeError("no")

    entries = dict(LIKELIHOODS._entries)
    monkeypatch.setattr(LIKELIHOODS, "_entries", entries)
    likelihood(source="", measure="density", support=REAL, mean=identity)(raises)
    (finding,) = certify(["raises"])
    assert not finding.holds
    assert finding.fact == "can be checked: it raised TypeError: no"
