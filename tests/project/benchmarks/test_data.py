"""The data that are written for a study: MNIST with small held-out parts."""

import numpy as np

from benchmarks.data.mnist_subset import subset


def test_the_parts_of_mnist_have_no_image_in_common():
    train = np.arange(60_000)
    whole = {
        "x_train": train,
        "y_train": train,
        "x_test": -train[:10_000],
        "y_test": train[:10_000],
    }
    parts = subset(whole)
    assert [len(parts[f"x_{part}"]) for part in ("train", "valid", "test")] == [50_000, 100, 500]
    assert not set(parts["x_train"]) & set(parts["x_valid"])
    assert np.array_equal(parts["x_test"], -parts["y_test"])
    assert set(parts["y_test"] // 5000) == {0, 1}
