"""What the charts show: exact means, the front, and the best variants alone."""

import numpy as np
import pandas as pd
import pytest

from vaebench.report.clinic.codes import UNUSED
from vaebench.report.page import points as module
from vaebench.report.page.points import MOST_DRAWN, PALETTE, points, variants

SPACE = "digits/dynamic/mass/0"


def table_of(names, **columns):
    return pd.DataFrame(
        {
            "observation_space": SPACE,
            "likelihood": "bernoulli",
            "variant": names,
            "settings": "a=1",
            "rank": np.arange(1.0, len(names) + 1),
            **columns,
        }
    )


def rows_of(names, seeds=2, **metrics):
    return pd.DataFrame(
        [
            {
                "observation_space": SPACE,
                "likelihood": "bernoulli",
                "variant": name,
                "settings": "a=1",
                "run": f"{name} {seed}",
                "seed": seed,
                "metric": metric,
                "value": value + seed,
                "trust": "",
            }
            for name in names
            for seed in range(seeds)
            for metric, value in metrics.items()
        ]
    )


def no_examples(run):
    return {}


def test_curves_are_means_with_the_interval_of_students_t():
    rows = rows_of(["a"], rate=1.0, distortion=2.0, nll=3.0)
    curves = pd.DataFrame({"run": ["a 0", "a 1"], "step": 10, "valid_elbo_nats": [-3.0, -1.0]})
    (line,) = points(table_of(["a"]), rows, curves, no_examples).tables["curves"].to_dict("records")
    half = 12.706204736 * np.sqrt(2.0) / np.sqrt(2.0)  # t(0.975, 1) x sd / sqrt(n)
    assert line == pytest.approx(
        {"v": 0, "step": 10, "mean": -2.0, "low": -2.0 - half, "high": -2.0 + half}, rel=1e-4
    )


def test_the_front_is_of_those_that_no_other_beats_in_both():
    names = ["slow", "good", "fast", "beaten"]
    table = table_of(names, nll_mean=[1.0, 2.0, 3.0, 3.5], step_time_mean=[9.0, 2.0, 1.0, 2.5])
    costs = points(table, rows_of(names, nll=1.0), pd.DataFrame(), no_examples).tables["costs"]
    front = dict(zip(costs["v"].map(dict(enumerate(names))), costs["front"], strict=True))
    assert front == {"slow": 1, "good": 1, "fast": 1, "beaten": 0}


def test_dimensions_are_sorted_in_each_run_and_then_averaged():
    kept = {"a 0": np.array([1.0, 4.0]), "a 1": np.array([2.0, 1.0])}

    def examples(run):
        return {"rate_per_dimension by dimension": kept[run]}

    rows = rows_of(["a"], nll=1.0)
    rates = points(table_of(["a"]), rows, pd.DataFrame(), examples).tables["dimensions"]["rate"]
    assert rates.to_list() == [3.0, 1.0]


def test_a_dimension_is_used_that_carries_what_the_clinic_asks_for():
    kept = {"a 0": np.array([UNUSED, 4.0, 0.0]), "a 1": np.array([2.0, 0.9 * UNUSED, 0.0])}

    def examples(run):
        return {"rate_per_dimension by dimension": kept[run]}

    (line,) = (
        points(table_of(["a"]), rows_of(["a"], nll=1.0), pd.DataFrame(), examples)
        .tables["units"]
        .to_dict("records")
    )
    assert line == {"v": 0, "used": 1.5, "dimensions": 3.0}


def test_layers_are_means_over_seeds():
    rows = rows_of(["a"], rate_layer_1=3.0, rate_layer_2=1.0, nll=2.0)
    shown = points(table_of(["a"]), rows, pd.DataFrame(), no_examples).tables["layers"]
    assert shown.to_dict("list") == {"v": [0, 0], "layer": [1, 2], "rate": [3.5, 1.5]}


def test_a_run_is_doubted_whose_nll_is():
    rows = rows_of(["a"], rate=1.0, distortion=2.0, nll=3.0, elbo=-4.0, khat_high=0.5)
    rows.loc[(rows["metric"] == "nll") & (rows["seed"] == 1), "trust"] = "k-hat above 0.7"
    rows.loc[(rows["metric"] == "rate") & (rows["seed"] == 0), "trust"] = "of no matter"
    runs = points(table_of(["a"]), rows, pd.DataFrame(), no_examples).tables["runs"]
    assert runs["doubted"].tolist() == [0, 1] and runs["minus_elbo"].tolist() == [4.0, 3.0]


def test_only_the_best_are_drawn_and_fewer_have_a_colour():
    names = [f"v{i}" for i in range(MOST_DRAWN + 5)]
    rows = rows_of(names, seeds=1, rate=1.0, distortion=1.0, nll=1.0)
    shown = points(table_of(names), rows, pd.DataFrame(), no_examples)
    assert len(shown.tables["runs"]) == MOST_DRAWN
    assert set(variants(table_of(names))["colour"]) == {*names[: len(PALETTE)], module.OTHERS}
    assert shown.colours(SPACE)[module.OTHERS] == module.GREY
    assert list(shown.colours(SPACE).values())[:-1] == list(PALETTE)
