"""Observation spaces are called by what their runs were configured with, no two by one name."""

from vaebench.report.spaces import titles


def config(name="digits", likelihood="bernoulli", num_samples=500, **data):
    return {
        "data": {"name": name, "binarisation": "dynamic", "fingerprint": "24ee", **data},
        "likelihood": {"name": likelihood},
        "evaluate": {"num_samples": num_samples},
    }


def test_a_name_says_data_observation_measure_and_unit():
    (name,) = titles({"digits/dynamic/mass/K=500/24ee": config()}).values()
    assert name == "Digits, binarised anew each epoch; probabilities, nats"
    grey = config("/a/b/own_set.npz", "gaussian_learned", binarisation="none")
    assert titles({"s": grey}) == {"s": "Own set, as stored; densities, nats"}
    gaps_filled = config("x", "gaussian_learned", dequantise=True)
    assert titles({"s": gaps_filled}) == {"s": "X, dequantised; probabilities, nats"}


def test_names_that_would_be_alike_say_more():
    spaces = {"a": config(), "b": config(num_samples=50), "c": config("mnist")}
    assert titles(spaces) == {
        "a": "Digits, binarised anew each epoch; probabilities, nats; K = 500",
        "b": "Digits, binarised anew each epoch; probabilities, nats; K = 50",
        "c": "Mnist, binarised anew each epoch; probabilities, nats",
    }
    halves = titles({"a": config(split_seed=0), "b": config(split_seed=1)})
    assert [name.rpartition("; ")[2] for name in halves.values()] == ["split 0", "split 1"]
    other_bytes = titles({"word/1": config(), "word/2": config()})
    assert [name.rpartition("; ")[2] for name in other_bytes.values()] == ["word/1", "word/2"]


def test_what_is_not_known_is_not_said():
    assert titles({"digits/mass/0": {}}) == {"digits/mass/0": "digits/mass/0"}
    assert titles({"s": config(likelihood="a_plugin's")}) == {
        "s": "Digits, binarised anew each epoch; nats"
    }
