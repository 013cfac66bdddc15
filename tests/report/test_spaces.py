"""Observation spaces are called by what their runs were configured with, no two by one name."""

import msgspec

from vaebench.report.spaces import titles
from vaebench.results import Record, metric


def run(name="digits", graded=("nll", "bits_per_dim"), num_samples=500, **data):
    return Record(
        run="0",
        study="s",
        labels=None,
        status="done",
        metrics=[metric(name, 1.0) for name in graded],
        config={
            "data": {"name": name, "binarisation": "dynamic", "fingerprint": "24ee", **data},
            "evaluate": {"num_samples": num_samples},
        },
    )


def test_a_name_says_data_observation_measure_and_unit():
    (name,) = titles({"digits/dynamic/mass/K=500/24ee": run()}).values()
    assert name == "Digits, binarised anew each epoch; probabilities, nats"
    grey = run("/a/b/own_set.npz", ("nll",), binarisation="none")
    assert titles({"s": grey}) == {"s": "Own set, as stored; densities, nats"}
    gaps_filled = run("x", dequantise=True)
    assert titles({"s": gaps_filled}) == {"s": "X, dequantised; probabilities, nats"}


def test_names_that_would_be_alike_say_more():
    spaces = {"a": run(), "b": run(num_samples=50), "c": run("mnist")}
    assert titles(spaces) == {
        "a": "Digits, binarised anew each epoch; probabilities, nats; K = 500",
        "b": "Digits, binarised anew each epoch; probabilities, nats; K = 50",
        "c": "Mnist, binarised anew each epoch; probabilities, nats",
    }
    halves = titles({"a": run(split_seed=0), "b": run(split_seed=1)})
    assert [name.rpartition("; ")[2] for name in halves.values()] == ["split 0", "split 1"]
    other_bytes = titles({"word/1": run(), "word/2": run()})
    assert [name.rpartition("; ")[2] for name in other_bytes.values()] == ["word/1", "word/2"]


def test_what_is_not_known_is_not_said():
    from_elsewhere = msgspec.structs.replace(run(), config={})
    assert titles({"digits/mass/0": from_elsewhere}) == {"digits/mass/0": "digits/mass/0"}
    assert titles({"s": run(graded=())}) == {"s": "Digits, binarised anew each epoch; nats"}
