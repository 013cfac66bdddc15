"""What is in one of two folders alone, and what was made in another way, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.report.diff.folders import Folder
from vaebench.report.diff.matching import Match
from vaebench.report.labels import differing, display_names, some_of
from vaebench.report.standings import KEYS

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMES = 8


def alone(
    kind: str, before: Folder, after: Folder, first: Collection[str], second: Collection[str]
) -> Iterator[str]:
    """A sentence for either folder that has names which the other lacks."""
    for side, mine, others in ((before, first, second), (after, second, first)):
        if names := [name for name in mine if name not in others]:
            yield f"{kind} in {side.name} alone: {some_of(names, MOST_NAMES)}"


def unmatched(before: Folder, after: Folder, matches: Mapping[str, Match]) -> Iterator[str]:
    """Say of each observation space which variants, settings and seeds are not on both sides."""
    for space, matched in matches.items():
        title = before.titles[space]
        orders = before.orders[space], after.orders[space]
        for side, order, places in zip(
            (before, after), orders, (matched.only_before, matched.only_after), strict=True
        ):
            if names := [display_names(order)[place] for place in places]:
                yield f"{title}: variant in {side.name} alone: {some_of(names, MOST_NAMES)}"
        names = display_names(orders[0])
        for i, j in matched.pairs:
            lines = orders[0].iloc[[i]], orders[1].iloc[[j]]
            for note in _of_pair(before, after, *lines):
                yield f"{title}: {names[i]}: {note}"


def _of_pair(
    before: Folder, after: Folder, first: pd.DataFrame, second: pd.DataFrame
) -> Iterator[str]:
    """Settings that were changed, and seeds that one side lacks, of one variant."""
    import pandas as pd

    settings = differing(pd.concat([first, second]))
    if settings[0] != settings[1]:
        yield f"{settings[0]} in {before.name}, {settings[1]} in {after.name}"
    yield from alone("seed", before, after, _seeds(before, first), _seeds(after, second))


def _seeds(side: Folder, line: pd.DataFrame) -> list[str]:
    """The seeds of the runs of a variant, in order."""
    runs = side.rows[["seed", *KEYS]].merge(line[KEYS], on=KEYS)
    return [str(seed) for seed in sorted(set(runs["seed"]))]


def made_otherwise(before: Path, after: Path, metrics: Sequence[str]) -> Iterator[str]:
    """A sentence for each version, part of a machine or protocol that two folders do not share."""
    first, second = _ways(before, metrics), _ways(after, metrics)
    for thing in dict.fromkeys((*first, *second)):
        if first[thing] != second[thing]:
            words = [
                f"{some_of(sorted(ways[thing]) or ['not said'], MOST_NAMES)} in {folder}"
                for ways, folder in ((first, before), (second, after))
            ]
            yield f"{thing}: {', '.join(words)}"


def _ways(folder: Path, metrics: Collection[str]) -> Mapping[str, set[str]]:
    """How the runs of a folder were made, by what is said of it."""
    ways: dict[str, set[str]] = defaultdict(set)
    for record in results.records(folder, curves=False):
        for name, value in record.environment.items():
            ways[name].add(value)
        if record.protocol:  # older records do not say
            ways["protocol of training"].add(str(record.protocol))
        for figure in record.metrics:
            if figure.metric in metrics and figure.protocol:
                ways[f"protocol of {figure.metric}"].add(figure.protocol)
    return ways
