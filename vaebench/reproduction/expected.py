"""What the statements of a schedule gave before, and whether they give it still.

A verdict is on what was published. An expectation is a gate on the suite itself, apart from it:
what was recorded here, seed by seed, and the interval in which the mean of new runs should be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from vaebench.reproduction.rule import Interval, Outcome, over


class Expectation(Struct, frozen=True, kw_only=True):
    """Where the mean figure of a statement was expected, and whether it is there."""

    says: str
    met: bool
    low: float
    high: float
    recorded: float
    """The mean of what the interval is made of."""
    num_seeds: int
    """How many seeds that is the mean of."""
    ours: float | None = None
    """The mean now; None where runs are missing or did not end well, which meets nothing."""


def expectations(
    outcomes: Sequence[Outcome], before: Mapping[str, Mapping[str, float]]
) -> tuple[Expectation, ...]:
    """What is expected of each outcome whose figures were recorded: sentence -> seed -> figure."""
    return tuple(_expectation(o, before[o.says]) for o in outcomes if o.says in before)


def _expectation(outcome: Outcome, before: Mapping[str, float]) -> Expectation:
    interval = predicted(before, len(outcome.values) or len(before))
    return Expectation(
        says=outcome.says,
        met=outcome.ours is not None and interval.low <= outcome.ours <= interval.high,
        low=interval.low,
        high=interval.high,
        recorded=interval.mean,
        num_seeds=len(before),
        ours=outcome.ours,
    )


def predicted(before: Mapping[str, float], num_new: int) -> Interval:
    """Where the mean over new seeds should be: the 95% prediction interval by Student's t.

    The errors of both means add up, s^2 / n + s^2 / m, s the standard deviation of the n recorded.
    Raises NotComparableError for one seed.
    """
    mean, _, high = over(dict(enumerate(before.values())))
    half = (high - mean) * math.sqrt(1.0 + len(before) / num_new)
    return Interval(mean, mean - half, mean + half)


def in_words(expectation: Expectation) -> str:
    """One expectation in a line."""
    met = "met" if expectation.met else "not met"
    ours = "has no figure" if expectation.ours is None else f"is {expectation.ours:.4g}"
    span = f"[{expectation.low:.4g}, {expectation.high:.4g}]"
    return (
        f"expectation {met}: {expectation.says}: {ours}, expected in {span} after "
        f"{expectation.recorded:.4g} by {expectation.num_seeds} seeds"
    )
