"""Every combination of three factors, equally often, for codes with known scores."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

VALUES = (3, 4, 5)
"""The number of values of each factor."""
GRID = np.array(list(itertools.product(*map(range, VALUES)))).repeat(10, 0)
"""Every combination ten times: [600, 3]. So factors are independent, exactly."""
N, F = GRID.shape
ENTANGLED, _ = np.linalg.qr(np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 0.6], [1.0, 0.2, -1.4]]))
"""A rotation that puts each factor into each dimension."""
DRAWS = {"num_draws": 60, "num_images": 32}
NUM_BINS, NUM_TREES = 20, 10


def standardised(factors: NDArray[np.int64] = GRID) -> NDArray[np.float64]:
    """The factors, each with mean 0 and variance 1."""
    return (factors - factors.mean(0)) / factors.std(0)
