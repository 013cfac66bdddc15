"""What tuning gained, and whether the ranking changes: from rows made by hand."""

import numpy as np
import pandas as pd
import pytest

from vaebench.report.tuning import gains_in_words, printable, ranking, tuned_beside_untuned
from vaebench.results import Tuning

SEEDS = range(2, 10)


def rows(means, spread=0.1):
    """Rows of NLL for each variant, untuned and tuned, at these means."""
    noise = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "run": f"{name}-{side}-{seed}",
            "observation_space": "s",
            "likelihood": "bernoulli",
            "variant": f"{name}({side})",
            "settings": f"train.learning_rate={side}",
            "seed": seed,
            "status": "done",
            "metric": "nll",
            "value": mean + noise.normal(0.0, spread),
            "unit": "nats",
        }
        for name, both in means.items()
        for side, mean in zip(("untuned", "tuned"), both, strict=True)
        for seed in SEEDS
    )


def tuning(name, **more):
    runs = {s: [f"{name}-{s}-{seed}" for seed in SEEDS] for s in ("untuned", "tuned")}
    counted = {"trials": 8, "pruned": 3, "lost": 1, "steps": 100, "decoder_evaluations": 200}
    chosen = {
        "chosen": 4,
        "values": {},
        "parameters": {"train.learning_rate": 0.00123456, "w": "8,4"},
    }
    return Tuning(**{"variant": name, **runs, **counted, **chosen, **more})


def answer(means):
    (said,) = ranking(rows(means), [tuning(name) for name in means])
    return said


def test_a_gain_is_the_mean_paired_difference():
    means = {"a": (20.0, 18.0), "b": (21.0, 21.0)}
    data = rows(means)
    table = tuned_beside_untuned(data, [tuning("a"), tuning("b")]).set_index("variant")
    values = data.set_index("run")["value"]
    for name in means:
        d = [values[f"{name}-untuned-{s}"] - values[f"{name}-tuned-{s}"] for s in SEEDS]
        assert table.loc[name, "gain"] == pytest.approx(np.mean(d))
        half = 2.3646 * np.std(d, ddof=1) / np.sqrt(len(d))  # Student's t, 7 degrees of freedom
        assert table.loc[name, "low"] == pytest.approx(np.mean(d) - half, rel=1e-3)
        assert table.loc[name, "high"] == pytest.approx(np.mean(d) + half, rel=1e-3)
    assert table.loc["a", "verdict"] == "differ"
    assert table.loc["b", "verdict"] == "are not told apart"
    assert table.loc["a", "parameters"] == "train.learning_rate=0.001235, w=8,4"


def test_a_variant_without_a_best_is_said_to_have_none():
    data = rows({"a": (20.0, 18.0), "b": (21.0, 20.0)})
    data = data[~data["run"].str.startswith("b-tuned")]
    lost = tuning("b", tuned=[], chosen=None, parameters={})
    table = tuned_beside_untuned(data, [tuning("a"), lost])
    (_, said) = gains_in_words(table)
    assert said.startswith("s: b was not compared with itself tuned (8 trials, 3 pruned, 1 lost)")
    assert said.endswith("no trial was fit to be chosen")


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ({"a": (20, 18), "b": (21, 19)}, "tuned? no ("),
        ({"a": (20, 19), "b": (21, 18)}, "yes, 1 of 1 pairs differ the other way round"),
        ({"a": (20, 18), "b": (21, 18)}, "in part, 1 of 1 pairs have another verdict"),
        ({"a": (20, 18), "b": (20, 19)}, "in part, 1 of 1 pairs have another verdict"),
    ],
)
def test_the_answer_follows_from_the_pairs(means, verdict):
    assert verdict in answer(means)


def test_the_answer_names_both_orders_and_the_pairs():
    said = answer({"a": (20, 19), "b": (21, 18), "c": (25, 25)})
    assert "untuned a < b < c; tuned b < a < c; the other way round: a and b" in said
    assert "yes, 1 of 3 pairs" in said


def test_no_answer_is_given_for_pairs_that_are_not_compared():
    """A variant that lost a run is compared with none: of three, one pair is left; of two, none."""
    data = rows({"a": (20, 19), "b": (21, 18), "c": (25, 25)})
    data.loc[data["run"] == "c-tuned-3", "status"] = "diverged"
    (said,) = ranking(data, [tuning(name) for name in "abc"])
    assert "yes, 1 of 1 pairs differ the other way round, as far as can be said: 2 more are" in said
    (said,) = ranking(data[~data["run"].str.startswith("b-")], [tuning("a"), tuning("c")])
    assert said.endswith("it cannot be said: no two variants are compared both untuned and tuned")


def test_the_table_for_a_terminal_says_why_a_variant_is_not_compared():
    data = rows({"a": (20, 19), "b": (21, 18)})
    data.loc[data["run"] == "b-tuned-3", "status"] = "diverged"
    _, line = printable(tuned_beside_untuned(data, [tuning("a"), tuning("b")]))
    assert line["verdict"].startswith("are not compared: 1 of 8 runs diverged or failed")
    assert line["tuned values"] == "train.learning_rate=0.001235, w=8,4"


def test_means_that_change_places_within_the_noise_are_no_change():
    near = {"a": (20.0, 20.0), "b": (20.0, 20.0)}
    assert any(words in answer(near) for words in ("tuned? no (", "not so that it could be told"))
