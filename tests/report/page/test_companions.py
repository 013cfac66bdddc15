"""The charts of what other commands leave in a folder: exact points, none without a file."""

import numpy as np
import pandas as pd
import pytest

from vaebench.report.page.companions import (
    benchmarks,
    front,
    history,
    operations,
    profiles,
    refusals,
    signal,
)

TRIALS = pd.DataFrame(
    {
        "variant": ["a", "a", "a", "b", "b"],
        "trial": [2, 0, 1, 0, 1],
        "valid_nll": [8.0, 10.0, np.nan, 5.0, np.inf],
        "step_time": [3.0, 1.0, np.nan, 2.0, np.inf],
        "status": ["done", "done", "pruned", "done", "refused"],
        "reason": ["", "", "", "", "batch_size must be at most 4"],
    }
)
NONE = pd.DataFrame()


def test_the_search_goes_by_trial_and_keeps_the_best_until_then():
    lines = history(TRIALS)
    assert lines.to_numpy().tolist() == [["a", 0, 10, 10], ["a", 2, 8, 8], ["b", 0, 5, 5]]
    worse = TRIALS.assign(valid_nll=[12.0, 10.0, np.nan, 5.0, np.inf])
    assert history(worse)["best"].tolist() == [10.0, 10.0, 5.0]
    higher = TRIALS.rename(columns={"valid_nll": "valid_elbo"})
    assert history(higher)["best"].tolist() == [10.0, 10.0, 5.0]
    assert history(TRIALS.rename(columns={"valid_nll": "mine"})).empty, "of no known direction"


def test_the_front_is_what_the_sweep_says_it_is():
    points = front(TRIALS, TRIALS.iloc[[0, 3]])
    known = points[np.isfinite(points["first"])]
    assert known.to_numpy().tolist() == [
        ["a", 2, 8.0, 3.0, 1],
        ["a", 0, 10.0, 1.0, 0],
        ["b", 0, 5.0, 2.0, 1],
    ]
    assert front(TRIALS, NONE).empty, "a sweep of one target has none"


def gradient(variant, k, value, step=100, side="encoder", **more):
    row = {"variant": variant, "num_samples": k, "value": value, "step": step, "side": side}
    return row | {"metric": "snr_vector", "standard_error": 0.25, "status": "done"} | more


def test_the_signal_is_that_of_the_last_checkpoint_with_its_standard_error():
    rows = [
        gradient("b", 4, 2.0),
        gradient("b", 1, 1.0),
        gradient("a", 1, 9.0, step=0),
        gradient("a", 1, 3.0, side="decoder"),
        gradient("a", 1, None, status="failed"),
        gradient("a", 1, 0.2),
    ]
    points = signal(rows, "encoder")
    assert points["snr"].tolist() == [1.0, 2.0], "what is within an error of 0 has no logarithm"
    assert points[["low", "high"]].to_numpy().tolist() == [[0.75, 1.25], [1.75, 2.25]]
    assert signal(rows, "decoder")["snr"].tolist() == [3.0]
    assert signal([], "encoder").empty


def timed(op, size, backend, *times):
    names = ("time_median", "time_q20", "time_q80")
    row = {"op": op, "size": size, "backend": backend, "direction": "both"}
    return [row | {"metric": m, "value": v} for m, v in zip(names, times, strict=True)]


def test_operations_are_shown_at_their_largest_size():
    rows = [
        *timed("kl", "1x1x8x2", "eager", 1.0, 1.0, 1.0),
        *timed("kl", "1x1x64x2", "eager", 4.0, 3.0, 5.0),
        *timed("kl", "1x1x64x2", "cpu", 2.0, 1.0, 4.0),
        *timed("kl", "50x1x64x2", "cpu", 9.0, 9.0, 9.0),
        *timed("kl", "1x1x64x2", "triton", None, None, None),
        {"op": "kl", "status": "passed", "value": 0.0},
    ]
    points = operations(rows).set_index("label")
    assert set(points["operation"]) == {"kl 1x1x64x2"}
    assert points.loc["cpu", ["low", "ms", "high"]].tolist() == [1.0, 2.0, 4.0]
    assert set(points.index) == {"cpu", "eager"}


def test_benchmarks_are_in_milliseconds_and_those_of_no_operation_left_out():
    stats = {"median": 2e-3, "q1": 1e-3, "q3": 4e-3}
    groups = ("kl 1x1x8x2", "objective K=1", None)
    points = benchmarks([{"group": group, "stats": stats} for group in groups])
    assert points.to_dict("records") == [
        pytest.approx({"operation": "kl", "label": "1x1x8x2", "ms": 2.0, "low": 1.0, "high": 4.0})
    ]


def test_profiles_are_the_share_of_spaces_within_a_ratio():
    table = pd.DataFrame(
        {"label": ["a", "a", "b", "b"], "measure": "steps", "ratio": [1.0, 1.0, 2.0, np.inf]}
    )
    (name, points), *others = profiles(table).items()
    assert name == "profile by steps" and not others
    b = points[points["label"] == "b"].set_index("tau")["rho"]
    assert b[1.0] == 0.0 and b[b.index >= 2.0].eq(0.5).all() and b[b.index < 2.0].eq(0.0).all()
    assert profiles(NONE) == {}


def test_what_was_refused_is_named_with_its_reason_once():
    refused = gradient("c", 4, None, status="refused", reason="no decoder", metric="")
    one_figure = gradient("d", 4, None, status="refused", reason="of one metric")
    assert refusals(TRIALS, [gradient("b", 4, 2.0), refused, one_figure, refused]) == [
        "b, trial 1: refused: batch_size must be at most 4",
        "c K=4, gradients: refused: no decoder",
    ]
    assert refusals(NONE, []) == []
