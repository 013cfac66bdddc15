"""The data that are written for studies: small held-out parts of MNIST, and shapes in colour."""

import numpy as np

from benchmarks.data.colour_shapes import HUES, colour_shapes, coloured
from benchmarks.data.mnist_subset import subset
from vaebench.data.shapes import shapes


def test_the_parts_of_mnist_have_no_image_in_common():
    train = np.arange(60_000)
    whole = {
        "x_train": train,
        "y_train": train,
        "x_test": -train[:10_000],
        "y_test": train[:10_000],
    }
    parts = subset(whole)
    assert [len(parts[f"x_{part}"]) for part in ("train", "valid", "test")] == [50_000, 200, 500]
    assert not set(parts["x_train"]) & set(parts["x_valid"])
    assert np.array_equal(parts["x_test"], -parts["y_test"])
    assert set(parts["y_test"] // 5000) == {0, 1}


def test_a_published_validation_part_is_the_one_that_is_made_small():
    whole = {"x_train": np.arange(50_000), "x_valid": -np.arange(10_000), "x_test": np.zeros(40)}
    parts = subset(whole)
    assert np.array_equal(parts["x_train"], whole["x_train"])
    assert np.array_equal(parts["x_valid"], -np.arange(0, 10_000, 50))
    assert len(parts["x_test"]) == 2


def test_a_shape_in_colour_is_the_grey_one_times_its_hue():
    white = np.full((1, 1, 1), 255, np.uint8)
    assert np.array_equal(coloured(white, np.array([3]))[0, 0, 0], HUES[3])
    parts, grey = colour_shapes(), shapes().parts
    for part in ("train", "test"):
        hue = parts[f"factors_{part}"][:, -1]
        assert set(hue) == set(range(len(HUES)))
        assert np.array_equal(parts[f"factors_{part}"][:, :-1], grey[f"factors_{part}"])
        brightest = parts[f"x_{part}"].max(-1)
        expected = np.rint(grey[f"x_{part}"] / 255.0 * HUES.max(-1)[hue][:, None, None])
        assert np.array_equal(brightest, expected)
