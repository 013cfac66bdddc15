"""What schedules gave before: the interval, and who is inside."""

import math

import numpy as np
import pytest

from vaebench.reproduction.expected import expectations, in_words, predicted
from vaebench.reproduction.rule import Outcome, Verdict

T2 = 12.706204736
"""The 97.5% quantile of Student's t with one degree of freedom."""
BEFORE = {"s": {"0": 1.0, "1": 3.0}}
"""Two figures whose mean has a standard error of 1."""


def outcome(*values):
    seeds = {str(seed): value for seed, value in enumerate(values)}
    ours = sum(values) / len(values) if values else None
    return Outcome(says="s", verdict=Verdict.NOT_REPRODUCED, reason="", ours=ours, values=seeds)


@pytest.mark.parametrize("num_new", [2, 8])
def test_the_interval_is_that_of_a_mean_of_new_seeds(num_new):
    half = T2 * math.sqrt(2.0) * math.sqrt(1 / 2 + 1 / num_new)
    assert predicted(BEFORE["s"], num_new) == pytest.approx((2.0, 2.0 - half, 2.0 + half))


def test_it_holds_the_mean_of_new_seeds_as_often_as_it_says():
    """Three normal seeds before and five after: 4,000 draws, 95% to within 4 standard errors."""
    draws = np.random.default_rng(0).normal(size=(4000, 8))
    intervals = (predicted(dict(enumerate(row[:3])), 5) for row in draws)
    each = zip(draws, intervals, strict=True)
    inside = [low <= row[3:].mean() <= high for row, (_, low, high) in each]
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize("share, met", [(0.99, True), (1.01, False), (-0.99, True), (-1.01, False)])
def test_a_mean_is_inside_or_not(share, met):
    """Whatever the verdict: the published value is no part of it."""
    (expectation,) = expectations([outcome(*[2.0 + share * T2 * math.sqrt(2.0)] * 2)], BEFORE)
    assert (expectation.met, expectation.num_seeds, expectation.recorded) == (met, 2, 2.0)
    assert in_words(expectation).startswith(f"expectation {'met' if met else 'not met'}: s: is ")


def test_runs_without_a_figure_meet_nothing():
    (expectation,) = expectations([outcome()], BEFORE)
    assert not expectation.met
    assert "s: has no figure, expected in [-15.97, 19.97] after 2 by 2 seeds" in in_words(
        expectation
    )


def test_what_was_not_recorded_has_no_expectation():
    assert expectations([outcome(1.0, 3.0)], {"another": {"0": 1.0, "1": 2.0}}) == ()
