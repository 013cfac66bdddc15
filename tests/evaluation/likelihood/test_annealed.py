"""The grading by annealed importance sampling: bounds on their sides, refusals, chunks, stacks."""

import dataclasses
import math

import pytest
import torch

from tests.support.families import within_error
from tests.support.runs import tiny
from vaebench.config.build import build_stack, streams
from vaebench.core.errors import InputError
from vaebench.data import load
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    PIXELS,
    SIGMA,
    exact_log_px,
)
from vaebench.evaluation import Subject, evaluate
from vaebench.evaluation.likelihood.annealed import annealed, of_images, refuses_discrete, simulated
from vaebench.evaluation.likelihood.annealing import AnnealingPlan
from vaebench.models import select
from vaebench.ops.noise import Noise

NOISE = Noise((21,))


# ------------------------------------------------------------------ the bounds


def test_bounds_lie_on_their_sides_and_close(model):
    """Means over 2000 images of the model; with more temperatures they come together. The averages
    that they are logs of are unbiased."""
    z, images = simulated(model, NOISE, 2000)
    exact = exact_log_px(model, images[0])
    gaps = []
    for num_temperatures in (2, 20):
        computed = of_images(model, images, NOISE, AnnealingPlan(num_temperatures, 6, 3), z)
        for excess, sign in ((computed.lower[0] - exact, -1), (computed.upper[0] - exact, 1)):
            assert sign * excess.mean() > -4 * excess.std() / 2000**0.5
        assert within_error((computed.lower[0] - exact).exp(), 1.0)
        assert within_error((exact - computed.upper[0]).exp(), 1.0)
        gaps.append(float((computed.upper - computed.lower).mean()))
    assert gaps[0] > 0.05
    assert -0.02 < gaps[1] < 0.3 * gaps[0]


def test_many_temperatures_find_log_px(model, x):
    computed = of_images(model, x[None], NOISE, AnnealingPlan(100, 64, 5))
    error = ((1 / computed.ess - 1) / 64).sqrt()
    assert (error < 0.06).all() and (computed.ess <= 1 + 1e-9).all()
    assert ((computed.lower - exact_log_px(model, x)).abs() < 4 * error).all()
    assert computed.upper.shape == (1, 0)


def test_codes_and_images_are_simulated_from_the_joint_law(model):
    """Covariance W W' + sigma^2 I of the images, and sigma^2 of what z does not tell of them."""
    z, images = simulated(model, NOISE, 20_000)
    weight, bias = model.decoder.weight[0], model.decoder.bias[0, 0]
    away = images[0] - bias
    expected = weight.T @ weight + SIGMA**2 * torch.eye(PIXELS, dtype=torch.float64)
    assert within_error(away[:, :, None] * away[:, None], expected)
    assert within_error((away - z[0] @ weight).square(), SIGMA**2)


# ------------------------------------------------------------------ chunks, stacks, wrong models


def test_chunks_of_examples_do_not_show(model):
    z, images = simulated(model, NOISE, 7)
    whole = of_images(model, images, NOISE, AnnealingPlan(6, 5, 3), z)
    chunked = of_images(model, images, NOISE, AnnealingPlan(6, 5, 3), z, max_bytes=4000)
    for ours, theirs in zip(whole, chunked, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def subject_of(**more):
    configs = [tiny(seed=i, **more) for i in range(3)]
    return Subject(
        build_stack(configs, (8, 8)), load("digits", "dynamic"), streams(configs, "evaluate")
    )


FEW = {"num_temperatures": 8, "num_chains": 3, "num_examples": 6, "num_leapfrog": 3}


def test_a_run_alone_gets_what_it_gets_in_a_stack():
    """To the last digit in float32, where a chain that moves or stays may turn on it."""
    subject = subject_of()
    stacked = annealed(subject, **FEW, num_simulated=2)
    keys = Noise(subject.noise.keys[1:2])
    alone = annealed(
        dataclasses.replace(subject, model=select(subject.model, [1]), noise=keys),
        **FEW, num_simulated=2,
    )  # fmt: skip
    for ours, theirs in zip(stacked, alone, strict=True):
        torch.testing.assert_close(ours.parts[1:2], theirs.parts, rtol=0, atol=0)


def test_grades_and_their_protocols():
    subject = subject_of()
    computed = {grade.name: grade for grade in evaluate(subject, {"annealed": FEW}).grades}
    assert list(computed) == ["ais_nll", "ais_acceptance", "ais_ess", "bdmc_gap"]
    assert [len(grade.parts[0]) for grade in computed.values()] == [6, 6, 6, 20]
    assert "from a lower bound" in computed["ais_nll"].protocol
    assert "20 images simulated from the model, 8 temperatures" in computed["bdmc_gap"].protocol
    without = annealed(subject, **FEW, num_simulated=0)
    assert [grade.name for grade in without] == ["ais_nll", "ais_acceptance", "ais_ess"]


def test_without_a_sampler_the_gap_is_left_out_and_the_protocol_says_why():
    subject = subject_of()
    bare = dataclasses.replace(subject.model.likelihood, sample=None)
    subject.model.family = dataclasses.replace(subject.model.family, likelihood=bare)
    computed = annealed(subject, **FEW)
    assert "bdmc_gap" not in [grade.name for grade in computed]
    assert "no bdmc_gap: bernoulli declares no sampler" in computed[0].protocol


def test_nan_of_one_run_leaves_the_others():
    subject = subject_of()
    expected = annealed(subject, **FEW)
    with torch.no_grad():
        next(subject.model.decoder.parameters())[1] = math.nan
    for ours, before in zip(annealed(subject, **FEW), expected, strict=True):
        torch.testing.assert_close(ours.values[[0, 2]], before.values[[0, 2]], rtol=0, atol=0)
        assert ours.values[1].isnan() or ours.name == "ais_acceptance"


def test_a_bound_that_one_chain_carries_is_doubted():
    """The decoder of one run is so steep that few codes of the prior come near an image."""
    subject = subject_of()
    with torch.no_grad():
        for parameter in subject.model.decoder.parameters():
            parameter[0] *= 30.0
    few = {**FEW, "num_temperatures": 2, "num_chains": 12}
    computed = {grade.name: grade for grade in annealed(subject, **few, num_simulated=0)}
    effective = 12 * computed["ais_ess"].parts
    assert (effective[0] < 2).all() and (effective[1:] > 2).all()
    doubt = "fewer than 2 effective chains for 100% of the examples"
    assert computed["ais_nll"].doubts == (doubt, "", "")


def test_discrete_codes_are_refused():
    subject = subject_of(posterior="categorical", prior="uniform_categorical")
    assert "'uniform_categorical' is over discrete codes" in refuses_discrete(subject)
    with pytest.raises(InputError, match="grading 'annealed' is refused"):
        evaluate(subject, {"annealed": FEW})


@pytest.mark.parametrize(
    ("posterior", "prior"), [("iaf", "mixture_of_gaussians"), ("diagonal_gaussian", "vamp")]
)
def test_learned_priors_and_flows_are_bounded_as_well(posterior, prior):
    subject = subject_of(posterior=posterior, prior=prior, objective="elbo_mc")
    computed = annealed(subject, **FEW, num_simulated=3)
    assert all(grade.values.isfinite().all() for grade in computed)
