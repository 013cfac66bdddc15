"""Posterior predictive checks of counts, and vectors in place of images in the other gradings."""

import math

import numpy as np
import pytest
import torch

from tests.support.runs import tiny
from vaebench.config.build import build_stack, load_data, subject
from vaebench.config.resolve import resolve
from vaebench.evaluation import evaluate
from vaebench.evaluation.samples.predictive import dispersion_gap, replicated, zeros_gap

N, P = 4000, 6


def negative_binomial(seed, size):
    draws = np.random.default_rng(seed).negative_binomial(size, size / (size + 3.0), (N, P))
    return torch.from_numpy(draws).double()


def test_replicas_of_one_law_have_no_gap_and_poisson_ones_have_the_known_one():
    """Mean 3 and size 2 give P(0) = 0.4^2, not exp(-3), and variance / mean = 2.5, not 1."""
    counts, same = negative_binomial(0, 2.0), negative_binomial(1, 2.0)
    poisson = torch.from_numpy(np.random.default_rng(2).poisson(3.0, (N, P))).double()
    replicas = torch.stack([same, poisson])
    zeros, dispersion = zeros_gap(counts, replicas), dispersion_gap(counts, replicas)
    expected = {
        "zeros": (zeros, [0.0, math.exp(-3.0) - 0.16]),
        "dispersion": (dispersion, [0.0, -math.log(2.5)]),
    }
    for estimate, values in expected.values():
        error = (estimate.high - estimate.low) / (2 * 1.96)
        assert ((estimate.value - torch.tensor(values)).abs() < 4 * error).all()
    assert float(zeros.high[1]) < 0 > float(dispersion.high[1])


def graded(data, likelihood, gradings, **more):
    evaluation = {"num_samples": 5, "num_images": 60, "gradings": ["likelihood", *gradings]}
    configs = resolve(
        [
            tiny(likelihood=likelihood, data=data, evaluate=evaluation, seed=seed, **more)
            for seed in (0, 1)
        ]
    )
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    whole = subject(model, dataset, configs)
    return whole, {g.name: g for g in evaluate(whole, configs[0].evaluate.wanted).grades}


@pytest.mark.parametrize("library_size", [False, True])
def test_counts_are_graded_as_vectors(library_size):
    data = {"name": "counts", "library_size": library_size}
    whole, grades = graded(data, "negative_binomial", ["samples", "two_sample", "predictive"])
    for name in ("frechet", "kid", "c2st_accuracy", "zeros_gap", "dispersion_gap"):
        assert grades[name].values.isfinite().all(), name
    assert "vectors from p(x|z), without a sheet of images" in grades["frechet"].protocol
    assert ("library sizes of training examples" in grades["kid"].protocol) == library_size
    assert grades["zeros_gap"].parts.shape == (2, 600)
    assert (grades["zeros_gap"].low < grades["zeros_gap"].values).all()
    assert abs(grades["zeros_gap"].reference) < 0.02
    x = whole.observed("test")[:50]
    replicas = replicated(whole.model, x, whole.noise)
    assert replicas.shape == (2, 50, 24)
    assert torch.equal(replicas, replicas.floor())


def test_the_library_size_of_an_example_is_that_of_its_replica():
    """An untrained model gives each column about one count per unit of library size."""
    whole, _ = graded({"name": "counts", "library_size": True}, "poisson", [])
    x = whole.observed("test")
    totals = replicated(whole.model, x, whole.noise)[0].sum(-1)
    assert float(torch.corrcoef(torch.stack([totals, x.sum(-1)]))[0, 1]) > 0.9


def test_checks_of_counts_say_why_real_values_have_none():
    _, grades = graded({"name": "series"}, "student_t", ["samples", "predictive"])
    assert grades["zeros_gap"].values.isnan().all()
    assert grades["zeros_gap"].absent == "checks of counts are for data with values = 'counts'"
    assert grades["frechet"].values.isfinite().all()
    assert "against 576 test examples" in grades["frechet"].protocol
