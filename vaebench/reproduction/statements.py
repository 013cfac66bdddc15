"""What a claim states, one class for each kind: each judges evidence without training anything.

All kinds end in a difference from what was published, with its 95% interval over seeds, and one
rule: inside the tolerance it is reproduced, outside it is not, and an interval that is on both
sides of an end of the tolerance does not tell.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from vaebench.core.errors import near_match
from vaebench.report.statistics.crossed_design import ALPHA
from vaebench.reproduction.evidence import (
    Evidence,
    GradientRow,
    NotComparableError,
    Selection,
    by_seed,
    matches,
    paired,
    variants,
)
from vaebench.reproduction.exact import EXACT
from vaebench.reproduction.rule import Interval, Outcome, Verdict, finite, of_sign, over, within

LARGEST = sys.float_info.max
Finite = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
NotNegative = Annotated[float, Meta(ge=0.0, le=LARGEST)]


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all kinds have: the sentence, the figure and what counts as equal."""

    says: str
    metric: str = "nll"
    protocol: str = ""
    """How the figure must have been graded, in the words of the record: "test, K=5000"."""
    tolerance: NotNegative = 0.0
    because: str = ""
    """Why that counts as equal."""

    def outcome(self, evidence: Evidence) -> Outcome:
        """What the evidence shows. Raises NotComparableError."""
        raise NotImplementedError


class Value(Statement, frozen=True, kw_only=True, tag="value"):
    """The mean figure of some runs is the published one."""

    of: Selection = {}
    published: Finite
    spread: NotNegative = 0.0
    """Standard error of the published value; 0 where it is not stated."""

    def outcome(self, evidence: Evidence) -> Outcome:
        figures = by_seed(evidence.records, self.of, self.metric, self.protocol)
        return against(self, figures, self.published, self.spread)


class Difference(Statement, frozen=True, kw_only=True, tag="difference"):
    """The figure of some runs minus that of others, seed by seed, is the published one."""

    of: Selection
    minus: Selection
    published: Finite
    spread: NotNegative = 0.0

    def outcome(self, evidence: Evidence) -> Outcome:
        return against(self, _differences(self, evidence), self.published, self.spread)


class Lower(Statement, frozen=True, kw_only=True, tag="lower"):
    """The figure of some runs is lower than that of others, by however much."""

    of: Selection
    minus: Selection

    def outcome(self, evidence: Evidence) -> Outcome:
        differences = _differences(self, evidence)
        interval = over(differences)
        verdict, reason = of_sign(interval)
        return _outcome(self, verdict, reason, interval, differences, published=None)


class Exact(Statement, frozen=True, kw_only=True, tag="exact"):
    """The figure of each run is what theory gives for its data."""

    of: Selection = {}
    theory: str
    """The name of an entry of `exact.EXACT`."""

    def __post_init__(self) -> None:
        """Raises ValueError for a theory that there is not."""
        if self.theory not in EXACT:
            raise ValueError(f"unknown theory {self.theory!r}; {near_match(self.theory, EXACT)}")

    def outcome(self, evidence: Evidence) -> Outcome:
        figures = by_seed(evidence.records, self.of, self.metric, self.protocol)
        config = next(r.config for r in evidence.records if matches(r.config, self.of))
        return against(self, figures, EXACT[self.theory](config))


class Slope(Statement, frozen=True, kw_only=True, tag="slope"):
    """A figure of a gradient is a power of K: the slope of its logarithm on log K."""

    objective: str
    side: str
    published: Finite

    def outcome(self, evidence: Evidence) -> Outcome:
        slopes = {seed: self.slope(rows) for seed, rows in evidence.gradients.items()}
        return against(self, slopes, self.published)

    def slope(self, rows: Sequence[GradientRow]) -> float:
        """The least-squares slope of one seed's rows. Raises NotComparableError below 3 points, and
        for one that has no logarithm."""
        points = {
            row["num_samples"]: row["value"]
            for row in rows
            if (row["objective"], row["side"], row["metric"])
            == (self.objective, self.side, self.metric)
        }
        if len(points) < 3 or not all(value and value > 0.0 for value in points.values()):
            raise NotComparableError(
                f"a slope needs a positive {self.metric} at 3 values of K; got {points}"
            )
        x, y = (np.log(np.array(list(v), dtype=float)) for v in (points.keys(), points.values()))
        return float(np.polyfit(x, y, 1)[0])


class Unbeaten(Statement, frozen=True, kw_only=True, tag="unbeaten"):
    """None of the others has a lower figure than these runs, by more than the tolerance."""

    of: Selection
    others: Selection

    def outcome(self, evidence: Evidence) -> Outcome:
        ours = by_seed(evidence.records, self.of, self.metric, self.protocol)
        rivals = {
            name: paired(by_seed(runs, {}, self.metric, self.protocol), ours)
            for name, runs in variants(evidence.records, self.others).items()
        }
        # The intervals hold together: each of m has level 1 - alpha / m.
        intervals = {name: over(d, ALPHA / len(rivals)) for name, d in rivals.items()}
        nearest = min(intervals, key=lambda name: intervals[name].low)
        best = min(intervals.values(), key=lambda interval: interval.high)
        interval = intervals[nearest]
        if best.high < -self.tolerance:
            nearest = next(name for name, i in intervals.items() if i is best)
            verdict, interval, what = Verdict.NOT_REPRODUCED, best, "is lower"
        elif interval.low >= -self.tolerance:
            verdict, what = Verdict.REPRODUCED, "comes nearest and is not lower"
        else:
            verdict, what = Verdict.NOT_COMPARABLE, "may be lower or not"
        reason = f"of {len(rivals)} others, {nearest} {what}, by more than {self.tolerance:g}"
        return _outcome(self, verdict, reason, interval, rivals[nearest], published=None)


Kind = Value | Difference | Lower | Exact | Slope | Unbeaten
"""Every kind of statement, by its `kind` in the file."""


def judge(statement: Kind, evidence: Evidence) -> Outcome:
    """What the evidence shows of a statement; not comparable, with the reason, where it cannot."""
    try:
        return statement.outcome(evidence)
    except NotComparableError as error:
        published = getattr(statement, "published", None)
        verdict = Verdict.NOT_COMPARABLE
        says = statement.says
        return Outcome(says=says, verdict=verdict, reason=str(error), published=published)


def against(
    statement: Statement,
    figures: Mapping[int, float],
    published: float,
    spread: float = 0.0,
) -> Outcome:
    """Hold a mean over seeds against a published value, whose standard error is `spread`."""
    interval = over({seed: value - published for seed, value in figures.items()}, spread=spread)
    verdict, reason = within(interval, statement.tolerance)
    if statement.because:
        reason = f"{reason}: {statement.because}"
    return _outcome(statement, verdict, reason, interval, figures, published)


def _differences(statement: Difference | Lower, evidence: Evidence) -> dict[int, float]:
    records, metric, protocol = evidence.records, statement.metric, statement.protocol
    first, second = (by_seed(records, s, metric, protocol) for s in (statement.of, statement.minus))
    return paired(first, second)


def _outcome(
    statement: Statement,
    verdict: Verdict,
    reason: str,
    interval: Interval,
    values: Mapping[int, float],
    published: float | None,
) -> Outcome:
    return Outcome(
        says=statement.says,
        verdict=verdict,
        reason=reason,
        published=published,
        ours=float(np.mean(list(values.values()))),
        difference=finite(interval.mean),
        low=finite(interval.low),
        high=finite(interval.high),
        values={str(seed): value for seed, value in values.items()},
    )
