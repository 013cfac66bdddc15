"""Objectives that are right somewhere and wrong elsewhere: certification looks there too."""

import math
from dataclasses import replace
from typing import Annotated

import pytest
import torch

from tests.support.faults import assert_rejected
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.diagnostics.certify import check_objective
from vaebench.objectives import OBJECTIVES, GradientOf, Objective, SameAs
from vaebench.ops import densities

LOWER = {"bound": "lower"}
TIGHT = {"bound": "lower", "tight": True}


def beta_from_0(t, *, beta: Annotated[float, Hyper((0.1, 4.0), low=0.0)] = 4.0):
    return t.distortion + beta * t.rate


def low_inside(t, *, beta: Annotated[float, Hyper((1.0, 10.0), low=1.0, high=10.0)] = 1.0):
    beta = torch.as_tensor(beta)
    return t.distortion + t.rate * torch.where((beta > 3.0) & (beta < 6.0), 0.0, beta)


def stops_elsewhere(t, *, beta: Annotated[float, Hyper((1.0, 10.0), low=0.0)] = 1.0):
    rate = torch.where(torch.as_tensor(beta) == 1.0, t.rate, t.rate.detach())
    return t.distortion + beta * rate


def hooked_by_hand(t):
    weights = torch.softmax(t.log_w_path.detach(), 0)
    if t.z.requires_grad:
        t.z.register_hook(lambda gradient: gradient * weights[..., None])
    total = (weights * t.log_w_path).sum(0)
    return -(densities.log_mean_exp(t.log_w_path).detach() + total - total.detach())


def in_place(t):
    t.log_px_z.data.add_(0.5)
    return t.distortion + t.rate


calls = []


def counting(t):
    calls.append(1)
    return t.distortion + min(1.0, len(calls) / 1000) * t.rate


def slower(values, end):
    """Half as fast beyond the end."""
    return torch.minimum(values, end + (values - end) / 2)


def ends_beyond(t, *, beta: Annotated[float, Hyper((1.0, 10.0), low=1.0)] = 1.0):
    return t.distortion + t.rate * torch.where(torch.as_tensor(beta) > 50.0, 0.0, beta)


WRONG = {
    # name: (loss, declared facts, part of a fact that must fail)
    "a bound only above 1, without its interval": (beta_from_0, LOWER, "log p(x) at beta"),
    "a bound that fails inside its interval": (low_inside, LOWER, "log p(x) at beta"),
    "log K up to 8 samples": (
        lambda t: -(torch.logsumexp(t.log_w, 0) - math.log(min(t.num_samples, 8))),
        TIGHT,
        "with K=24",
    ),
    **{
        f"half the rate beyond {end:g} nats": (
            lambda t, end=end: t.distortion + slower(t.rate, end),
            LOWER,
            "lower bound on log p(x), at rates of",
        )
        for end in (5.0, 20.0, 100.0, 500.0, 2000.0)
    },
    "no rate where it is small": (
        lambda t: t.distortion + torch.where(t.rate < 1e-3, 0.0, t.rate),
        LOWER | {"same_as": (SameAs("elbo"),)},
        "same as elbo, at rates of",
    ),
    "a negative rate where it is small": (
        lambda t: t.distortion + torch.where(t.rate < 1e-3, -t.rate, t.rate),
        LOWER,
        "lower bound on log p(x), at rates of",
    ),
    "a window of rates": (
        lambda t: t.distortion + torch.where((t.rate - 650.0).abs() < 350.0, 0.5, 1.0) * t.rate,
        LOWER,
        "lower bound on log p(x), at rates of",
    ),
    "half the distortion beyond a thousand nats": (
        lambda t: slower(t.distortion, 1000.0) + t.rate,
        LOWER,
        "lower bound on log p(x), at rates of",
    ),
    "weights that are cut from below": (
        lambda t: -densities.log_mean_exp(t.log_w.clamp(min=-1000.0)),
        TIGHT | {"same_as": (SameAs("iwae"),)},
        "same as iwae, at rates of",
    ),
    "an ordering that turns": (
        lambda t: torch.where(t.rate > 50.0, 1.1 * t.rate, t.rate) + t.distortion,
        LOWER | {"no_looser_than": ("elbo",)},
        "no looser than elbo, at rates of",
    ),
    "tight up to a rate": (
        lambda t: t.distortion + t.rate + (t.rate - 50.0).clamp(min=0.0),
        TIGHT,
        "true posterior, at rates of",
    ),
    "many dimensions": (
        lambda t: t.distortion + t.rate - 0.1 * max(0, t.z.shape[-1] - 16),
        LOWER | {"same_as": (SameAs("elbo"),)},
        "same as elbo, at rates of",
    ),
    "log K up to 100 samples": (
        lambda t: -(torch.logsumexp(t.log_w, 0) - math.log(min(t.num_samples, 100))),
        TIGHT,
        "lower bound on log p(x), at rates of",
    ),
    "a gradient that stops at high rates": (
        lambda t: t.distortion + torch.where(t.rate > 50.0, t.rate.detach(), t.rate),
        LOWER,
        "derivative of the loss, at rates",
    ),
    "an estimator that stops at high rates": (
        lambda t: -torch.where(t.kl > 50.0, t.log_w_path.detach(), t.log_w_path).mean(0),
        TIGHT | {"gradient_of": {"encoder": GradientOf("elbo_mc")}},
        "mean gradient is that of elbo_mc, at rates",
    ),
    "a bound that ends beyond the search": (
        ends_beyond,
        LOWER,
        "log p(x) at beta=1000",
    ),
    "no logsumexp": (lambda t: -t.log_w.exp().mean(0).log(), TIGHT, "a thousand nats"),
    "a gradient that stops elsewhere": (
        stops_elsewhere,
        LOWER | {"bound_for": {"beta": (1.0, 10.0)}},
        "derivative of the loss at beta",
    ),
    "a rate by the number of images": (
        lambda t: t.distortion + t.rate * (1.0 + t.num_examples / 1000),
        LOWER,
        "however many there are",
    ),
    "others by the first run": (
        lambda t: t.distortion + t.rate + (t.rate.mean(-1)[:1] - t.rate.mean(-1)).abs()[:, None],
        LOWER,
        "blind to its stack-mates",
    ),
    "a hook of its own, past which the densities are drawn": (
        hooked_by_hand,
        TIGHT
        | {
            "gradient_of": {"encoder": GradientOf("iwae"), "decoder": GradientOf("iwae")},
            "draws": "log_qz_x",
        },
        "the encoder's",
    ),
    "terms changed in place": (in_place, LOWER, "changes nothing that it sees"),
    "a counter of its calls": (counting, LOWER, "changes nothing that it sees"),
}


def harmonic_mean(t):
    return densities.log_mean_exp(-t.log_w)


HONEST = {
    # Lower bounds, looser with more samples, which declare nothing else.
    "the harmonic mean of weights": harmonic_mean,
    "the smallest weight": lambda t: -t.log_w.amin(0),
    "the ELBO less a price for samples": lambda t: 0.01 * t.num_samples - t.log_w.mean(0),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_not_declared_is_a_remark(name):
    entry = Objective(name, HONEST[name], source="", **LOWER)
    findings = [finding for finding in check_objective(entry) if not finding.holds]
    assert not any(finding.fails for finding in findings)
    assert [finding.result for finding in findings] == ["remark"]
    assert "no looser with more samples" in findings[0].fact


@pytest.mark.parametrize(
    ("facts", "fact"),
    [
        ({"same_as": (SameAs("iwae"),)}, "same as iwae"),
        ({"no_looser_than": ("elbo_mc",)}, "no looser than elbo_mc"),
        ({"tighter_with_samples": True}, "tighter with"),
    ],
)
def test_inverted_weights_fail_where_anything_declared_tells_them(facts, fact):
    assert_rejected("harmonic mean", harmonic_mean, LOWER | facts, fact)


@pytest.mark.parametrize("fault", WRONG)
def test_certification_looks_where_it_is_wrong(fault):
    assert_rejected(fault, *WRONG[fault])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"gradient_of": {"encoder": GradientOf("mine")}}, "only an upper bound"),
        ({"no_looser_than": "elbo"}, "are tuples"),
        ({"same_as": SameAs("elbo")}, "are tuples"),
        ({"draws": "log_pz"}, "draws must be one of"),
        ({"needs": "labels"}, "needs must be one of"),
    ],
)
def test_declarations_that_say_nothing_are_refused(facts, message):
    with pytest.raises(InputError, match=message):
        Objective("mine", lambda t: t.kl, source="", bound="lower", **facts).check()


def test_an_objective_makes_one_estimator_of_its_terms():
    def twice(t):
        return 0.5 * OBJECTIVES["dreg"].loss(t) + 0.5 * OBJECTIVES["dreg"].loss(t)

    entry = replace(OBJECTIVES["dreg"], name="twice", loss=twice, same_as=())
    with pytest.raises(InputError, match="serve one estimator"):
        assert_rejected("twice", entry.loss, TIGHT, "anything")
