"""Wrong objectives, each with the declared fact by which certification rejects it."""

import math
from typing import Annotated

import pytest
import torch

from tests.support.faults import DISCRETE, IWAE, assert_rejected, grouped, normalised
from vaebench.core.hyper import Hyper
from vaebench.objectives import Auxiliary, SameAs
from vaebench.ops import densities

pytestmark = pytest.mark.slow


HAIR = 1e-4
"""Nats, far below the sampling error of any expectation."""
AUXILIARY = {"auxiliary": Auxiliary(lambda width, layers: layers(width, 1), lambda t: t.kl)}


def inverted(t):
    return -(torch.softmax(-t.log_w, 0).detach() * t.log_w).sum(0)


def grouped_wrongly(t, *, groups: Annotated[int, Hyper(low=1)] = 2):
    """The axis of groups is averaged within the log, that of samples outside."""
    return -densities.log_mean_exp(grouped(t, groups), 0).mean(0)


def even_only(t):
    return -densities.log_mean_exp(t.log_w.unflatten(0, (2, -1)), 1).mean(0)


def renyi_unscaled(t, *, alpha: Annotated[float, Hyper(low=0.0, high=0.9)] = 0.5):
    return -densities.log_mean_exp((1.0 - alpha) * t.log_w)


def tvo_right_sum(t, *, partitions: Annotated[int, Hyper(low=1)] = 4):
    points = [i / partitions for i in range(1, partitions + 1)]
    expected = [(torch.softmax(b * t.log_w, 0) * t.log_w).sum(0) for b in points]
    return -sum(expected) / partitions


def beta_unused(t, *, beta: float = 4.0):
    return t.distortion + t.rate


def momentum_unused(t, *, momentum: float = 0.9, multiplier=1.0):
    return t.rate + multiplier * t.distortion


def shared_beta(t, *, beta: Annotated[float, Hyper(low=0.0)] = 4.0):
    """The hyperparameter of the first run for all."""
    return t.distortion + torch.as_tensor(beta).flatten()[0] * t.rate


def critic_learns(t):
    return t.distortion + t.rate + t.auxiliary(t.z[0])[..., 0]


WRONG = {
    # name: (loss, declared facts, part of a fact that must fail)
    "dropped log K": (lambda t: -torch.logsumexp(t.log_w, 0), IWAE, "lower bound"),
    "log K taken off twice": (
        lambda t: 2 * math.log(len(t.log_w)) - torch.logsumexp(t.log_w, 0),
        {"bound": "lower", "tight": True},
        "at the true posterior",
    ),
    "mean of w without the log": (lambda t: -t.log_w.exp().mean(0), IWAE, "same as iwae"),
    "inverted weights": (inverted, {"bound": "lower", "no_looser_than": ("elbo",)}, "no looser"),
    "inverted weights, as an identity": (inverted, IWAE, "same as iwae"),
    "sum of w~ log w as the bound": (
        lambda t: -(normalised(t) * t.log_w).sum(0),
        IWAE,
        "same as iwae",
    ),
    "sum over K": (lambda t: -t.log_w.sum(0), {"bound": "lower", "tight": True}, "true posterior"),
    "the best sample as a bound": (
        lambda t: -t.log_w.amax(0),
        {"bound": "lower", "tight": True},
        "lower bound",
    ),
    "analytic KL inside the weights": (
        lambda t: -densities.log_mean_exp(t.log_px_z - t.rate),
        {"bound": "lower", "tight": True},
        "true posterior",
    ),
    "analytic KL inside the weights, as an identity": (
        lambda t: -densities.log_mean_exp(t.log_px_z - t.rate),
        IWAE,
        "same as iwae",
    ),
    "looser with samples": (
        lambda t: densities.log_mean_exp(-t.log_w),
        {"bound": "lower", "tighter_with_samples": True},
        "tighter with",
    ),
    "MIWAE grouped on the wrong axis": (
        grouped_wrongly,
        {"bound": "lower", "same_as": (SameAs("iwae", at={"groups": 1}),), "min_samples": 2},
        "same as iwae",
    ),
    "Renyi without 1 / (1 - alpha)": (
        renyi_unscaled,
        {"bound": "lower", "tight": True, "same_as": (SameAs("iwae", at={"alpha": 0.0}),)},
        "true posterior",
    ),
    "TVO, the right sum": (tvo_right_sum, {"bound": "lower"}, "lower bound"),
    "KL without its half": (
        lambda t: t.distortion + 2 * t.rate,
        {"bound": "lower", "same_as": (SameAs("elbo"),)},
        "same as elbo",
    ),
    "KL of the wrong sign": (lambda t: t.distortion - t.rate, {"bound": "lower"}, "lower bound"),
    "no rate": (lambda t: t.distortion, {"bound": "lower"}, "lower bound"),
    "k1 and k3 mixed up": (
        lambda t: t.distortion + (t.log_ratio.exp() - 1 + t.log_ratio).mean(0),
        {"bound": "lower", "same_as": (SameAs("elbo", exact=False),)},
        "same as elbo",
    ),
    "KL the other way round": (
        lambda t: t.distortion + (t.log_ratio.exp() * t.log_ratio).mean(0),
        {"bound": "lower", "same_as": (SameAs("elbo", exact=False),)},
        f"same as elbo, {DISCRETE}",
    ),
    "a bound too high by a hair": (
        lambda t: t.distortion + t.rate - HAIR,
        {"bound": "lower"},
        f"lower bound on log p(x), {DISCRETE}",
    ),
    "an upper bound too low by a hair": (
        lambda t: HAIR - densities.log_mean_exp(t.log_w),
        {"bound": "upper"},
        f"as K grows, {DISCRETE}",
    ),
    "an ordering missed by a hair": (
        lambda t: HAIR - t.log_w.mean(0),
        {"bound": "lower", "no_looser_than": ("elbo",)},
        f"no looser than elbo, {DISCRETE}",
    ),
    "looser with samples by a hair": (
        lambda t: HAIR * t.num_samples - t.log_w.mean(0),
        {"bound": "lower", "tighter_with_samples": True},
        f"tighter with every K, {DISCRETE}",
    ),
    "a lower bound declared an upper one": (
        lambda t: t.distortion + t.rate,
        {"bound": "upper"},
        "upper bound",
    ),
    "mean over pixels": (
        lambda t: t.distortion / 5 + t.rate,
        {"bound": "lower"},
        "lower bound",
    ),
    "mean over the batch": (
        lambda t: (t.distortion + t.rate) / t.shape[1],
        {"bound": "none"},
        "nats per example",
    ),
    "a penalty summed over the batch": (
        lambda t: t.distortion + t.rate + t.mu.mean(-1).sum(-1, True).square(),
        {"bound": "lower", "of_batch": True},
        "nats per example",
    ),
    "the rate of the batch": (
        lambda t: t.distortion + t.rate.mean(-1, True),
        {"bound": "lower"},
        "nats per example",
    ),
    "a sum over samples left out": (lambda t: -t.log_w, {"bound": "lower"}, "one loss per run"),
    "a scalar": (lambda t: (t.distortion + t.rate).mean(), {"bound": "lower"}, "one loss per run"),
    "a number": (lambda t: 1.0, {"bound": "lower"}, "one loss per run"),
    "stumbles over odd numbers of samples": (even_only, {"bound": "lower"}, "takes K=1 or raises"),
    "mixes stack-mates": (
        lambda t: (t.distortion + t.rate).mean(0, keepdim=True).expand_as(t.kl),
        {"bound": "lower"},
        "stack-mates",
    ),
    "one hyperparameter for all runs": (
        shared_beta,
        {"bound": "lower", "bound_for": {"beta": (1.0, math.inf)}},
        "hyperparameters of its own",
    ),
    "deaf to a warm-up": (lambda t: t.distortion + t.kl, {"bound": "lower"}, "weight on the rate"),
    "a warm-up that is not ignored": (
        lambda t: t.distortion + t.rate,
        {"bound": "lower", "ignores_rate": True},
        "ignores a weight",
    ),
    "beta silently unused": (beta_unused, {"bound": "lower"}, "beta changes the loss"),
    "momentum silently unused": (
        momentum_unused,
        {
            "bound": "none",
            "state": ("multiplier",),
            "update": lambda t, *, momentum, multiplier: {"multiplier": 1.1 * multiplier},
        },
        "momentum changes the loss or the step",
    ),
    "a state shared by all runs": (
        momentum_unused,
        {
            "bound": "none",
            "state": ("multiplier",),
            "update": lambda t, *, momentum, multiplier: {
                "multiplier": multiplier + momentum * t.distortion.mean()
            },
        },
        "one next value",
    ),
    "single precision within": (
        lambda t: (t.distortion + t.rate).float().double(),
        {"bound": "lower", "same_as": (SameAs("elbo"),)},
        "same as elbo",
    ),
    "double precision without end": (
        lambda t: (t.distortion + t.rate).double(),
        {"bound": "lower"},
        "float32",
    ),
    "a network that the objective trains too": (
        critic_learns,
        {"bound": "none", **AUXILIARY},
        "auxiliary network learns nothing",
    ),
    "a model that the network's loss trains too": (
        lambda t: t.distortion + t.rate + t.judge(t.z[0])[..., 0],
        {"bound": "none", **AUXILIARY},
        "model learns nothing",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_certification_rejects_wrong_objectives(fault):
    assert_rejected(fault, *WRONG[fault])
