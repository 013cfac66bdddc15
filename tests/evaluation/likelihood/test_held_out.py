"""Figures of held-out images: of a stack and of each run alone, whatever was trained."""

import math

import pytest

from tests.support.runs import tiny
from vaebench.config.build import build_stack, streams
from vaebench.data import load
from vaebench.evaluation import Subject, evaluate
from vaebench.models import select
from vaebench.ops.noise import Noise


def test_evaluation_of_a_stack_is_that_of_each_run():
    configs = [tiny(seed=i) for i in range(3)]
    dataset = load("digits", "dynamic")
    model, noise = build_stack(configs, (8, 8)), streams(configs, "evaluate")
    stacked = evaluate(Subject(model, dataset, noise, num_samples=5, num_images=40))
    for i in range(3):
        alone = evaluate(
            Subject(
                select(model, [i]),
                dataset,
                Noise(noise.keys[i : i + 1]),
                num_samples=5,
                num_images=40,
            )
        )
        for name, values in stacked.values.items():
            assert values[i] == pytest.approx(alone.values[name][0], rel=1e-4), name


def test_every_variant_is_graded_with_rate_weight_one_on_its_own_samples():
    """The evaluation has no access to the objective: nll >= -elbo up to K, bits/dim follows."""
    configs = [tiny(objective={"name": "beta_elbo", "beta": 8.0})]
    dataset = load("digits", "dynamic")
    computed = evaluate(
        Subject(
            build_stack(configs, (8, 8)),
            dataset,
            streams(configs, "e"),
            num_samples=9,
            num_images=40,
        )
    ).values
    assert computed["elbo"][0] == pytest.approx(
        -computed["rate"][0] - computed["distortion"][0], abs=1e-3
    )
    assert computed["nll"][0] <= -computed["elbo"][0] + 0.05
    assert computed["bits_per_dim"][0] == pytest.approx(computed["nll"][0] / (64 * math.log(2)))


def test_bits_per_dim_only_for_a_probability_mass():
    configs = [tiny(likelihood="gaussian_learned", data={"name": "digits"})]
    dataset = load("digits", "none")
    computed = evaluate(
        Subject(
            build_stack(configs, (8, 8)),
            dataset,
            streams(configs, "e"),
            num_samples=2,
            num_images=40,
        )
    )
    assert "bits_per_dim" not in computed.values
