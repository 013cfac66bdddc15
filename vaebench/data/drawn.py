"""Data sets that are drawn: every combination of their factors, and a fixed test part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.data.arrays import Arrays, checked
from vaebench.data.values import Values
from vaebench.ops.noise import Noise, key, permutations, uniforms

Numbers = NDArray[np.float64]
TEST_SHARE = 0.2


def combinations(sizes: Sequence[int], times: int) -> NDArray[np.int64]:
    """All combinations of factors with so many values each, each some times: [N, F]."""
    indices = np.arange(math.prod(sizes)).repeat(times)
    return np.stack(np.unravel_index(indices, sizes), -1)


def uniform(name: str, purpose: str, shape: tuple[int, int]) -> Numbers:
    """Uniform variables in the open (0, 1), the same bits on every machine: [N, P]."""
    u = uniforms(Noise((key(name, purpose),)), *shape)[0]
    return u.double().clamp_min(2.0**-33).numpy()


def divided(
    name: str, x: NDArray[Any], factors: NDArray[np.int64], white: float, values: Values | None
) -> Arrays:
    """Examples with their factors, the first of which is the label; a fixed fifth is to test on."""
    order = permutations(Noise((key(name, "test"),)), len(x))[0].numpy()
    num_test = round(TEST_SHARE * len(x))
    parts: dict[str, NDArray[Any]] = {}
    for part, rows in {"train": order[num_test:], "test": order[:num_test]}.items():
        parts |= {f"x_{part}": x[rows], f"y_{part}": factors[rows, 0]}
        parts |= {f"factors_{part}": factors[rows]}
    return checked(Arrays(name, parts, white, values))
