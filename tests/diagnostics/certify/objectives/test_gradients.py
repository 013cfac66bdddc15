"""Objectives with wrong gradients, each with the fact by which certification rejects it."""

from typing import Annotated

import pytest
import torch

from tests.support.faults import IWAE, assert_rejected, grouped, normalised
from vaebench.core.hyper import Hyper
from vaebench.objectives import GradientOf, SameAs
from vaebench.objectives.estimators import estimator
from vaebench.ops import densities

pytestmark = pytest.mark.slow


IWAE_GRADIENTS = {"gradient_of": {"encoder": GradientOf("iwae"), "decoder": GradientOf("iwae")}}
STL = {
    "bound": "lower",
    "tight": True,
    "gradient_of": {"encoder": GradientOf("elbo_mc")},
    "still_at_posterior": True,
}
PIWAE = {
    "bound": "lower",
    "gradient_of": {"encoder": GradientOf("miwae", {"groups": 2}), "decoder": GradientOf("iwae")},
    "min_samples": 2,
}


def dreg(t, decoder, path, **weights):
    return -estimator(t, densities.log_mean_exp(t.log_w), decoder=decoder, path=path, **weights)


def piwae_swapped(t):
    in_groups = torch.softmax(grouped(t, 2).detach(), 1).flatten(0, 1) / 2
    weights = {"decoder": in_groups, "path": normalised(t), "score": normalised(t)}
    return -estimator(t, densities.log_mean_exp(t.log_w), **weights)


def ascending_encoder(t, *, order: Annotated[float, Hyper(low=1.0, high=10.0)] = 2.0):
    return -densities.log_power_mean(t.log_w, order)


def cubo(t, factor):
    weights = torch.softmax(2.0 * t.log_w.detach(), 0)
    bound = densities.log_power_mean(t.log_w, 2.0)
    return -estimator(t, bound, decoder=weights, path=factor * weights)


def in_the_limit(name):
    return {"bound": "upper", "tight": True, "gradient_of": {"encoder": GradientOf(name)}}


WRONG = {
    # name: (loss, declared facts, part of a fact that must fail)
    "sum of w~ log w, with no identity": (
        lambda t: -(normalised(t) * t.log_w).sum(0),
        {"bound": "lower"},
        "derivative of the loss",
    ),
    "weights that are not stopped": (
        lambda t: -(torch.softmax(t.log_w, 0) * t.log_w).sum(0),
        {"bound": "none", **IWAE_GRADIENTS},
        "the encoder's mean gradient",
    ),
    "DReG, squared weights for the decoder too": (
        lambda t: dreg(t, normalised(t).square(), normalised(t).square()),
        IWAE | IWAE_GRADIENTS,
        "the decoder's mean gradient",
    ),
    "DReG, one weight for both": (
        lambda t: dreg(t, normalised(t), normalised(t)),
        IWAE | IWAE_GRADIENTS,
        "the encoder's mean gradient",
    ),
    "DReG without stopping": (
        lambda t: dreg(t, normalised(t), normalised(t).square(), score=normalised(t)),
        IWAE | IWAE_GRADIENTS,
        "the encoder's expected gradient is the derivative of iwae's expectation, exact",
    ),
    "STL without stopping": (lambda t: -t.log_w.mean(0), STL, "in every sample"),
    "STL of q that is stopped in z too": (
        lambda t: -(t.log_px_z + t.log_pz - t.log_qz_x.detach()).mean(0),
        STL,
        "the encoder's gradient for drawn noise averages to the derivative of elbo_mc's",
    ),
    "STL's value without gradient declared": (
        lambda t: -t.log_w_path.mean(0),
        {"bound": "lower", "same_as": (SameAs("elbo_mc"),)},
        "derivative of the loss",
    ),
    "PIWAE with its weights swapped": (piwae_swapped, PIWAE, "mean gradient"),
    "a rate without gradient": (
        lambda t: t.distortion + t.rate.detach(),
        {"bound": "lower"},
        "derivative of the loss",
    ),
    "a rate without gradient, as an identity": (
        lambda t: t.distortion + t.rate.detach(),
        {"bound": "lower", "same_as": (SameAs("elbo"),)},
        "the encoder's gradient: same as elbo",
    ),
    "a rate without gradient, as the ELBO": (
        lambda t: t.distortion + t.rate.detach(),
        {"bound": "lower", "same_as": (SameAs("elbo", exact=False),)},
        "ELBO in closed form",
    ),
    "samples without gradient": (
        lambda t: -(t.log_px_z.detach() + t.log_ratio).mean(0),
        {"bound": "lower"},
        "the decoder's gradient is the derivative",
    ),
    "an upper bound whose encoder ascends": (
        ascending_encoder,
        {"bound": "upper", "tight": True, "bound_for": {"order": (1.0, 10.0)}},
        "the encoder's gradient is the derivative",
    ),
    "CUBO, n for n - 1": (
        lambda t: cubo(t, 2.0),
        in_the_limit("CUBO, n for n - 1"),
        "the encoder's mean gradient is the derivative of the loss as K grows",
    ),
    "CUBO of the other sign": (
        lambda t: cubo(t, -1.0),
        in_the_limit("CUBO of the other sign"),
        "the encoder's mean gradient is the derivative of the loss as K grows",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_certification_rejects_wrong_gradients(fault):
    assert_rejected(fault, *WRONG[fault])
