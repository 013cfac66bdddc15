"""The values that likelihoods give a probability to, and what to do with data that have others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vaebench.ops.densities import NUM_LEVELS, on_levels


@dataclass(frozen=True)
class Support:
    """One set of values, the same for every pixel, and how to test for them.

    `values` or `interval` say over what a probability sums, or integrates, to one.
    """

    description: str
    contains: Callable[[Tensor], bool]
    advice: str = "choose another likelihood"
    """For a user whose data have other values."""
    values: tuple[float, ...] | None = field(default=None, repr=False)
    interval: tuple[float, float] | None = None
    goes_on: bool = False
    """`values` is the beginning of a list without end, as of counts, and holds all mass that
    matters wherever the mean is in it."""


BINARY = Support(
    "x in {0, 1}",
    lambda x: bool(((x == 0) | (x == 1)).all()),
    "choose a binarisation (threshold, dynamic) or another likelihood",
    values=(0.0, 1.0),
)
EIGHT_BIT = Support(
    f"x on the {NUM_LEVELS} levels k/{NUM_LEVELS - 1}",
    on_levels,
    "store images as uint8, without dequantisation, or choose a density (gaussian, laplace)",
    values=tuple(k / (NUM_LEVELS - 1) for k in range(NUM_LEVELS)),
)
UNIT = Support(
    "x in [0, 1]",
    lambda x: bool(((x >= 0) & (x <= 1)).all()),
    "scale the intensities to [0, 1], clip them, or choose a likelihood of real values "
    "(gaussian, laplace)",
    interval=(0.0, 1.0),
)
OPEN_UNIT = Support(
    "x in (0, 1), the ends excluded",
    lambda x: bool(((x > 0) & (x < 1)).all()),
    "dequantise (data.dequantise = true) or choose a likelihood that includes 0 and 1 "
    "(continuous_bernoulli, gaussian)",
    interval=(0.0, 1.0),
)
REAL = Support(
    "x real",
    lambda x: bool(torch.isfinite(x).all()),
    "remove the images with NaN or infinity",
    interval=(-math.inf, math.inf),
)
MOST_COUNTED = 1 << 14
"""Counts that are summed over to check a law of a small mean."""
COUNTS = Support(
    "x in {0, 1, 2, ...}",
    lambda x: bool(((x >= 0) & (x == x.floor()) & x.isfinite()).all()),
    "store whole numbers from 0, or choose a density (gaussian, student_t)",
    values=tuple(map(float, range(MOST_COUNTED))),
    goes_on=True,
)
