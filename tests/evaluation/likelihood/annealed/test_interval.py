"""The sampling intervals of AIS and BDMC: formula, coverage, and where there is none."""

import math

import pytest
import torch
from click.testing import CliRunner

from tests.support.runs import tiny
from vaebench import results
from vaebench.cli import main
from vaebench.config.build import build_stack, streams
from vaebench.data import load
from vaebench.diagnostics.certify import linear_gaussian
from vaebench.diagnostics.certify.exact.linear_gaussian import exact_log_px
from vaebench.evaluation import Subject
from vaebench.evaluation.likelihood.annealed import annealed, of_images, simulated
from vaebench.evaluation.likelihood.annealing import AnnealingPlan
from vaebench.evaluation.likelihood.weights import log_mean_variance
from vaebench.evaluation.samples.intervals import Z
from vaebench.ops.noise import Noise
from vaebench.running.harness import train_all

NOISE = Noise((22,))
NUM_GROUPS, GROUP = 500, 4
"""Means over groups of images, and how often their intervals cover."""


def test_the_variance_is_the_jackknife_by_hand():
    log_w = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left_out = torch.stack(
        [log_w[[j for j in range(5) if j != k]].exp().mean(0).log() for k in range(5)]
    )
    expected = 4 / 5 * (left_out - left_out.mean(0)).square().sum(0)
    torch.testing.assert_close(log_mean_variance(log_w), expected, rtol=1e-12, atol=0)


def test_of_nearly_even_weights_it_is_that_of_the_delta_method():
    log_w = 0.01 * torch.randn(50, 1, 4, generator=torch.Generator().manual_seed(0)).double()
    weights = log_w.softmax(0)
    delta = (50 * weights.square().sum(0) - 1) / 49
    torch.testing.assert_close(log_mean_variance(log_w), delta, rtol=1e-2, atol=0)


def test_far_weights_keep_their_digits():
    """A constant in the log weights changes nothing, and one that carries all leaves no 0."""
    log_w = torch.tensor([0.0, -50.0, -51.0], dtype=torch.float64).view(3, 1, 1)
    computed = log_mean_variance(log_w)
    torch.testing.assert_close(computed, log_mean_variance(log_w - 900.0), rtol=1e-9, atol=0)
    assert computed.isfinite().all() and computed > 100


def test_one_chain_has_no_variance():
    assert log_mean_variance(torch.zeros(1, 2, 3)).isnan().all()


def test_the_intervals_cover():
    """In a model of which log p(x) is known. A standard error of the share is 0.0097."""
    model = linear_gaussian(wrong=0.0)
    z, images = simulated(model, NOISE, NUM_GROUPS * GROUP)
    computed = of_images(model, images, NOISE, AnnealingPlan(20, 4, 3), z)
    excess = (computed.lower - exact_log_px(model, images[0]))[0]
    gap, of_gap = (
        (computed.upper - computed.lower)[0],
        (computed.upper_variance + computed.variance)[0],
    )
    error = (0.05 * 0.95 / NUM_GROUPS) ** 0.5
    for values, variances in ((excess, computed.variance[0]), (gap, of_gap)):
        # All these images have one law, so one expectation: that of the mean of all of them.
        away = (values - values.mean()).view(NUM_GROUPS, GROUP).mean(1)
        half = Z * variances.view(NUM_GROUPS, GROUP).sum(1).sqrt() / GROUP
        share = (away.abs() < half).double().mean()
        assert abs(float(share) - 0.95) < 3 * error


FEW = {"num_temperatures": 6, "num_examples": 5, "num_leapfrog": 3, "num_simulated": 4}


@pytest.fixture(scope="module")
def subject():
    configs = [tiny(seed=i) for i in range(2)]
    model = build_stack(configs, (8, 8))
    return Subject(model, load("digits", "dynamic"), streams(configs, "evaluate"))


def test_figures_carry_their_interval_and_say_of_what(subject):
    grades = annealed(subject, num_chains=5, **FEW)
    computed = {m.metric: m for m in results.metrics(grades, 1)}
    for name in ("ais_nll", "bdmc_gap"):
        metric = computed[name]
        assert metric.low < metric.value < metric.high
        assert metric.value - metric.low == pytest.approx(metric.high - metric.value)
        assert "interval of the chains' sampling, not of the images'" in metric.protocol
    assert computed["ais_ess"].low is None


def test_more_chains_make_it_narrower(subject):
    few, many = (annealed(subject, num_chains=n, **FEW)[0] for n in (6, 60))
    ratio = ((few.high - few.low) / (many.high - many.low)).mean()
    assert 1.5 < ratio < 2 * math.sqrt(10)


def test_one_chain_has_no_interval(subject):
    for grade in annealed(subject, num_chains=1, **FEW):
        assert grade.low is None and "interval" not in grade.protocol


def test_the_command_shows_the_interval(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "280")
    train_all([tiny()], tmp_path, "s", executor="inline")
    asked = "{name = 'annealed', " + ", ".join(f"{k} = {v}" for k, v in FEW.items()) + "}"
    outcome = CliRunner().invoke(main, ["evaluate", str(tmp_path), "--grading", asked])
    assert outcome.exit_code == 0, outcome.output
    heading, line = (
        next(line for line in outcome.output.splitlines() if word in line).split()
        for word in ("metric", "ais_nll")
    )
    value = heading.index("value")
    assert heading[value : value + 3] == ["value", "low", "high"]
    nll, low, high = map(float, line[value : value + 3])
    assert low < nll < high
