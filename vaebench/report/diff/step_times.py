"""How long a training step takes in two folders that were timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vaebench.report.diff.folders import Folder, keys
from vaebench.report.diff.matching import Match
from vaebench.report.labels import display_names
from vaebench.results import Metric, Record

STEP_TIME = "step_time"
MACHINE = ("processor", "device")
"""What of two environments must be the same where times are compared."""


@dataclass(frozen=True)
class StepTime:
    """The time of a variant's training step in two folders, in ms."""

    observation_space: str
    variant: str
    before: float
    after: float
    ratio: float
    """After through before."""
    unlike: str
    """Why the two are not comparable; "" where they are."""


def step_times(before: Folder, after: Folder, matches: Mapping[str, Match]) -> list[StepTime]:
    """The variants that both folders have timed."""
    times = []
    for space, matched in matches.items():
        names = display_names(before.orders[space])
        first, second = keys(before.orders[space]), keys(after.orders[space])
        for i, j in matched.pairs:
            records = before.timings.get(first[i]), after.timings.get(second[j])
            if records[0] and records[1]:
                times += _step_time(space, names[i], records[0], records[1])
    return times


def _step_time(space: str, variant: str, before: Record, after: Record) -> list[StepTime]:
    """One, or none where either record lacks the time."""
    first, second = _figure(before), _figure(after)
    if not (first and second and first.value and second.value):
        return []
    ratio = second.value / first.value
    unlike = _unlike(before, after, first.protocol, second.protocol)
    return [StepTime(space, variant, first.value, second.value, ratio, unlike)]


def _figure(timing: Record) -> Metric | None:
    return next((one for one in timing.metrics if one.metric == STEP_TIME), None)


def _unlike(before: Record, after: Record, first: str, second: str) -> str:
    """Why the times of two records are not comparable: another machine, another way of timing."""
    machines = [[one.environment.get(n, "not said") for n in MACHINE] for one in (before, after)]
    reasons = [
        f"{name} {mine} before, {other} after"
        for name, mine, other in zip(MACHINE, *machines, strict=True)
        if mine != other
    ]
    if reasons:
        return f"not comparable across machines: {'; '.join(reasons)}"
    return "" if first == second else f"timed in different ways: {first} before, {second} after"
