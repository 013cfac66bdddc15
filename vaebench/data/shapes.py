"""The data set `shapes`: small grey images of one shape each, with known factors of variation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vaebench.data.arrays import Arrays
from vaebench.data.drawn import Numbers, combinations, divided

SIDE = 16
POINTS = 4
"""Points per pixel along each side: its grey is the share of them that lie within the shape."""
SCALES = (2.51, 3.13, 3.74, 4.37)
"""Pixels per unit of the coordinates in which shapes are defined."""
DEGREES = (-30.0, -15.0, 0.0, 15.0, 30.0)
"""A square is the same after 90 degrees, an ellipse after 180. From one end of this range to the
other is 30 degrees short of that, two steps: the orientations are different, and in line."""
PLACES = tuple(5.03 + 0.85 * i for i in range(8))
"""Positions of the centre in pixels, across and down."""


def _square(u: Numbers, v: Numbers) -> NDArray[np.bool_]:
    return np.maximum(np.abs(u), np.abs(v)) < 0.8


def _ellipse(u: Numbers, v: Numbers) -> NDArray[np.bool_]:
    return np.square(u / 1.1) + np.square(v / 0.65) < 1.0


def _heart(u: Numbers, v: Numbers) -> NDArray[np.bool_]:
    """The heart (a^2 + b^2 - 1)^3 < a^2 b^3, b pointing upwards."""
    a, b = np.square(1.15 * u), -1.15 * v
    outside = a + np.square(b) - 1.0
    return outside * outside * outside < a * b * b * b


SHAPES: dict[str, Callable[[Numbers, Numbers], NDArray[np.bool_]]] = {
    "square": _square,
    "ellipse": _ellipse,
    "heart": _heart,
}
"""(u to the right, v down) -> whether the point is within."""
FACTORS = {
    "shape": len(SHAPES),
    "scale": len(SCALES),
    "orientation": len(DEGREES),
    "x": len(PLACES),
    "y": len(PLACES),
}
"""The columns of the factors, and how many values each has."""


def shapes() -> Arrays:
    """All 3840 combinations of the factors, one image each; the test part is a fixed fifth.

    After dSprites (Matthey et al. 2017), smaller and grey. The labels are the shapes.
    """
    factors = combinations(tuple(FACTORS.values()), times=1)
    return divided("shapes", rendered(), factors, 255.0, None)


def rendered(degrees: tuple[float, ...] = DEGREES) -> NDArray[np.uint8]:
    """Every image [N, 16, 16], the last factor running fastest."""
    looks = itertools.product(SHAPES.values(), SCALES, degrees)
    return np.concatenate([_at_all_places(*look) for look in looks])


def _at_all_places(
    within: Callable[[Numbers, Numbers], NDArray[np.bool_]], scale: float, degrees: float
) -> NDArray[np.uint8]:
    """One shape, size and orientation at each place: [64, 16, 16]."""
    points = (np.arange(SIDE * POINTS) + 0.5) / POINTS
    away = (points - np.array(PLACES)[:, None]) / scale  # [8, 64] from each place to each point
    across, down = away[:, None, None, :], away[None, :, :, None]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    inside = within(cos * across + sin * down, cos * down - sin * across)  # [8, 8, 64, 64]
    # As products, the sums over a pixel's points take a tenth of the time.
    pool = np.repeat(np.eye(SIDE), POINTS, axis=0) / POINTS
    pixels = pool.T @ (inside.reshape(-1, *inside.shape[2:]) @ pool)
    return np.rint(255.0 * pixels).astype(np.uint8)
