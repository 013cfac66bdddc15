"""The rule that all kinds of statements share: a difference, its interval, and a tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from scipy import special

from vaebench.report.statistics.crossed_design import ALPHA, ends, over_seeds
from vaebench.reproduction.evidence import NotComparableError


class Verdict(StrEnum):
    """What is said of a statement, and of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_COMPARABLE = "not comparable"


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one statement. None where there is no such number."""

    says: str
    verdict: Verdict
    reason: str
    published: float | None = None
    ours: float | None = None
    difference: float | None = None
    low: float | None = None
    """Ends of the 95% interval of the difference."""
    high: float | None = None
    values: dict[str, float] = {}
    """What the mean is over, by seed."""


class Interval(NamedTuple):
    """A mean over seeds with the ends of its interval."""

    mean: float
    low: float
    high: float


def over(values: Mapping[int, float], alpha: float = ALPHA, spread: float = 0.0) -> Interval:
    """The mean over seeds with its interval by Student's t, to which a known error is added.

    Raises NotComparableError for one seed.
    """
    if len(values) < 2:
        raise NotComparableError("one seed has no interval: there must be two at least")
    of_seeds = over_seeds(np.array(list(values.values())))
    low, _ = ends(of_seeds, alpha)
    mean, half = float(of_seeds.mean), float(of_seeds.mean - low)
    half = math.hypot(half, float(special.ndtri(1.0 - alpha / 2.0)) * spread)
    return Interval(mean, mean - half, mean + half)


def within(interval: Interval, tolerance: float) -> tuple[Verdict, str]:
    """Whether all, none or a part of the interval is within +- tolerance."""
    if -tolerance <= interval.low and interval.high <= tolerance:
        return Verdict.REPRODUCED, f"within {tolerance:g}"
    if interval.low > tolerance or interval.high < -tolerance:
        return Verdict.NOT_REPRODUCED, f"beyond {tolerance:g}"
    return Verdict.NOT_COMPARABLE, f"more seeds would tell whether it is within {tolerance:g}"


def of_sign(interval: Interval) -> tuple[Verdict, str]:
    """Whether all, none or a part of the interval is below 0."""
    if interval.high < 0.0:
        return Verdict.REPRODUCED, "lower"
    if interval.low > 0.0:
        return Verdict.NOT_REPRODUCED, "higher"
    return Verdict.NOT_COMPARABLE, "more seeds would tell whether it is lower"


def finite(value: float) -> float | None:
    """The value, as JSON has it."""
    return value if math.isfinite(value) else None
