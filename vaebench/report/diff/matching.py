"""Which variant of one folder is which of another, and which have no partner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaebench.report.diff.folders import Key, keys

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Match:
    """The variants of one observation space in two folders, as places in their orders."""

    pairs: Sequence[tuple[int, int]]
    only_before: Sequence[int]
    only_after: Sequence[int]


def match(before: pd.DataFrame, after: pd.DataFrame) -> Match:
    """Match the variants of an observation space.

    A variant is the same where likelihood and settings are; or else where it is the only one of its
    name and likelihood that is left on either side: its settings are then what was changed.
    """
    places = {key: place for place, key in enumerate(keys(after))}
    alike = [(i, places[key]) for i, key in enumerate(keys(before)) if key in places]
    first = _left(before, {i for i, _ in alike})
    second = _left(after, {j for _, j in alike})
    changed = [
        (first[name][0], second[name][0])
        for name in first.keys() & second.keys()
        if len(first[name]) == len(second[name]) == 1
    ]
    pairs = sorted([*alike, *changed])
    return Match(
        pairs,
        sorted(set(range(len(before))) - {i for i, _ in pairs}),
        sorted(set(range(len(after))) - {j for _, j in pairs}),
    )


def _left(order: pd.DataFrame, matched: Collection[int]) -> dict[Key, list[int]]:
    """The places that are not matched, by likelihood and variant."""
    places: dict[Key, list[int]] = defaultdict(list)
    for place, (_, likelihood, variant, _) in enumerate(keys(order)):
        if place not in matched:
            places[likelihood, variant].append(place)
    return places
