"""Two results folders -> a table with a line per variant and metric, and what else differs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vaebench import results
from vaebench.core.errors import InputError
from vaebench.report.comparison import direction, measured
from vaebench.report.diff.folders import Folder, common_metrics, common_spaces, read
from vaebench.report.diff.matching import Match, match
from vaebench.report.diff.notes import alone, made_otherwise, unmatched
from vaebench.report.diff.step_times import STEP_TIME, StepTime, step_times
from vaebench.report.labels import display_names
from vaebench.report.pairs import Array, Family, Pair, is_worse, pair
from vaebench.report.standings import RANKED_BY, Examples, Standing, standings
from vaebench.report.tables import BRIEF

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Differences:
    """What two folders show, side by side."""

    before: str
    after: str
    table: pd.DataFrame
    """A line per observation space, variant and metric, see `differences`."""
    step_times: Sequence[StepTime]
    titles: Mapping[str, str]
    """What people call the observation spaces."""
    notes: Sequence[str]
    """What is in one of them alone, and what was made in another way."""

    @property
    def any_worse(self) -> bool:
        """Whether a line of the table is worse."""
        return bool(self.table["is_worse"].any())


@dataclass(frozen=True)
class _Place:
    """Where a line of the table stands, and the pair behind it, `after` minus `before`."""

    space: str
    variant: str
    metric: str
    pair: Pair


def differences(
    before: Path, after: Path, metrics: Sequence[str] = (), margin: float = 0.0
) -> Differences:
    """Compare each variant in one folder with itself in another, `after` minus `before`.

    A line for each observation space, variant and metric (by default those of the short ranking
    that both have). Runs are paired by seed, and by example where both folders keep these. Columns
    are those of `comparisons`, with `before` and `after`, the means over the common seeds,
    `higher_is_better`, and `is_worse`, see `pairs.is_worse`. `p_holm` allows for all lines. Which
    variant is which is said in `matching.match`.

    Raises InputError for a folder without runs, folders without a common observation space, variant
    or metric, a metric that not both have, a margin below 0, and two runs of a line and seed.
    """
    import pandas as pd

    if not 0.0 <= margin < float("inf"):
        raise InputError(f"the margin must be a number from 0 on; got {margin}")
    wanted = {*BRIEF, RANKED_BY, STEP_TIME, *metrics}
    first, second = read(before, wanted), read(after, wanted)
    spaces = common_spaces(first, second)
    chosen = common_metrics(first, second, metrics)
    matches = {space: match(first.orders[space], second.orders[space]) for space in spaces}
    examples = functools.cache(_examples)  # each file is read once
    places = [
        place
        for space, matched in matches.items()
        for metric in chosen
        for place in _places(first, second, space, matched, metric, examples)
    ]
    notes = [
        *alone("observation space", first, second, first.orders, second.orders),
        *alone("metric", first, second, first.metrics, second.metrics),
        *unmatched(first, second, matches),
        *made_otherwise(before, after, chosen),
    ]
    if not places:
        raise InputError(
            "; ".join(["two folders must have a variant in common to be compared", *notes])
        )
    table = _table(places, pd.concat([first.rows, second.rows]), margin)
    times = step_times(first, second, matches)
    return Differences(first.name, second.name, table, times, first.titles, notes)


def _places(
    before: Folder, after: Folder, space: str, matched: Match, metric: str, examples: Examples
) -> Iterator[_Place]:
    """The pairs of one observation space and metric."""
    names = display_names(before.orders[space])
    first, second = (_standings(side, space, metric) for side in (before, after))
    for i, j in matched.pairs:
        yield _Place(space, names[i], metric, pair(second[j], first[i], metric, examples))


def _standings(side: Folder, space: str, metric: str) -> list[Standing]:
    """How the variants stand, each with the folder in its name."""
    rows = side.rows[side.rows["observation_space"] == space]
    return [
        Standing(f"{one.name} in {side.name}", one.variant, one.num_runs, one.num_done, one.runs)
        for one in standings(rows, side.orders[space], metric)
    ]


def _examples(run: str) -> Mapping[str, Array]:
    """What is kept of the examples of a run that is named FOLDER/ID."""
    path = Path(run)
    return results.examples(path.parent, path.name)


def _table(places: Sequence[_Place], rows: pd.DataFrame, margin: float) -> pd.DataFrame:
    """A line for each pair, all judged as one family."""
    import pandas as pd

    family = Family([place.pair for place in places])
    columns = measured(family, margin or None)
    units = rows.drop_duplicates("metric").set_index("metric")["unit"]
    directions = {place.metric: direction(rows, place.metric) for place in places}
    return pd.DataFrame(
        {
            "observation_space": place.space,
            "variant": place.variant,
            "metric": place.metric,
            "unit": units[place.metric],
            "higher_is_better": directions[place.metric],
            "is_worse": is_worse(one, one.pair.better, directions[place.metric], margin),
            "verdict": one.verdict.value,
            "reason": one.pair.reason,
            "before": _mean(one.pair.better, one.pair.worse),
            "after": _mean(one.pair.worse, one.pair.better),
            **dict(zip(columns, numbers, strict=True)),
        }
        for place, one, numbers in zip(
            places, family.judged, zip(*columns.values(), strict=True), strict=True
        )
    )


def _mean(one: Standing, other: Standing) -> float:
    """The mean over the seeds that both have; NaN where there is none."""
    values = [run.value for seed, run in one.runs.items() if seed in other.runs]
    return float(np.mean(values)) if values else float("nan")
