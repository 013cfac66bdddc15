"""Rows -> standings: what each variant's runs amount to, in order within an observation space."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError
from vaebench.report.labels import display_names
from vaebench.report.means import FIGURE, NUMBERS, TEXTS, Array, means
from vaebench.report.training import ended, not_to_the_end
from vaebench.results.rows import TRAINING

if TYPE_CHECKING:
    import pandas as pd

RANKED_BY = "nll"
KEYS = ["observation_space", "likelihood", "variant", "settings"]
USED = [*KEYS, "run", "seed", "status", *TRAINING, "unit", *FIGURE]
"""The columns that a line of the tables is made of."""

Examples = Callable[[str], Mapping[str, NDArray[np.float64]]]
"""A run's values of examples [N] by metric, whose mean the metric is; {} where none are kept."""


def no_examples(run: str) -> Mapping[str, NDArray[np.float64]]:
    """For runs of which no values of examples are kept."""
    return {}


@dataclass(frozen=True)
class Run:
    """One metric of one run."""

    name: str
    value: float
    fingerprint: str


@dataclass(frozen=True)
class Standing:
    """One metric of one variant in one observation space."""

    name: str
    """What tables call it, see `labels.display_names`."""
    variant: str
    num_runs: int
    num_done: int
    runs: Mapping[int, Run]
    """The runs whose value is finite, by seed."""
    training: str = ""
    """How its runs ended, where not all with the weights of their last step."""

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of its runs, in order."""
        return sorted(self.runs)

    @cached_property
    def values(self) -> Array:
        """The values of its runs [S], in the order of their seeds."""
        return np.array([self.runs[seed].value for seed in self.seeds])

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """How its values were made."""
        return frozenset(run.fingerprint for run in self.runs.values())

    @property
    def complete(self) -> bool:
        """Whether no run diverged or failed: where some did, those left are the luckier ones."""
        return self.num_runs == self.num_done

    @property
    def share_lost(self) -> float:
        """Which part of its runs diverged or failed."""
        return 1.0 - self.num_done / self.num_runs if self.num_runs else 0.0

    @property
    def lost(self) -> str:
        """How many runs have no value, in words."""
        return f"{self.num_runs - self.num_done} of {self.num_runs} runs diverged or failed"


def ranked(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Go through the observation spaces, each with a line per variant, best first.

    Columns are KEYS, `runs`, `done`, `rank` and for each metric {metric}_mean, _low, _high (95%
    over seeds), and _unequal where it was made in different ways. `training`: how its runs ended,
    where some stopped early or kept other weights than the last.

    The rank is by the mean of NLL. A variant with a run that diverged or failed has none, and none
    has where their NLL was made in different ways (`unequal`). Raises InputError where a line has
    two runs of one seed.
    """
    import pandas as pd

    rows = with_newer(rows)
    rows = rows[
        [name for name in USED if name in rows]
    ]  # of the columns of settings there are many
    for space, part in rows.groupby("observation_space", sort=True):
        table = pd.DataFrame(_lines(part))
        score = f"{RANKED_BY}_mean"
        table = table if score in table else table.assign(**{score: np.nan})
        in_several_ways = sorted(unequal(part))
        table = table.assign(**{f"{name}_unequal": True for name in in_several_ways})
        rankable = (table["runs"] == table["done"]) & (RANKED_BY not in in_several_ways)
        table["rank"] = table[score].where(rankable).rank(method="min")
        yield str(space), table.sort_values(["rank", score], na_position="last")


def standings(rows: pd.DataFrame, order: pd.DataFrame, metric: str) -> list[Standing]:
    """How each variant of one observation space stands in one metric, in the order of its lines."""
    graded = with_newer(rows)
    graded = graded[(graded["metric"] == metric) & graded["seed"].notna()]
    by_variant = _runs(graded[np.isfinite(graded["value"])])
    return [
        Standing(
            name,
            line["variant"],
            line["runs"],
            line["done"],
            by_variant.get(tuple(line[k] for k in KEYS), {}),
            text(line, "training"),
        )
        for name, line in zip(display_names(order), mappings(order), strict=True)
    ]


def unequal(space: pd.DataFrame) -> set[str]:
    """The metrics of one observation space whose values were not made in one way: at some seed,
    two fingerprints."""
    known = space[(space["metric"] != "") & space["value"].notna()]
    ways = known.groupby("metric")["fingerprint"].nunique()
    known = known[known["metric"].isin(ways.index[ways > 1])]  # of which there are few, mostly none
    ways = known.groupby(["metric", "seed"])["fingerprint"].nunique()
    return {str(metric) for metric in ways[ways > 1].index.get_level_values("metric")}


def with_newer(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with all NUMBERS and TEXTS, and no gaps in those of text."""
    return rows.assign(
        **{name: rows[name].fillna("") if name in rows else "" for name in TEXTS},
        **{name: rows[name] if name in rows else float("nan") for name in NUMBERS},
    )


def used(rows: pd.DataFrame, metrics: Collection[str] | None = None) -> pd.DataFrame:
    """Rows with the columns that tables and comparisons are made of, of which there are few.

    With `metrics`, of these alone, and one of each run that has none of them, so that it counts.
    """
    if metrics is not None:
        wanted = rows["metric"].isin(metrics)
        others = ~wanted & ~rows["run"].isin(rows.loc[wanted, "run"])
        rows = rows[wanted | (others & ~rows["run"].duplicated())]
    newer = with_newer(rows)
    return newer[[name for name in USED if name in newer]]


def mappings(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table as mappings, by the names of their columns."""
    names = [str(name) for name in table]
    columns = [column.to_list() for _, column in table.items()]  # a tenth of the time of `to_dict`
    return [dict(zip(names, line, strict=True)) for line in zip(*columns, strict=True)]


def text(line: Mapping[str, Any], column: str) -> str:
    """What a line says in a column of texts; "" where it lacks the column."""
    value = line.get(column, "")
    return value if isinstance(value, str) else ""


def _lines(space: pd.DataFrame) -> list[dict[str, object]]:
    """The summary of each variant of one observation space, in the order of the rows."""
    places = space.groupby(KEYS, sort=False).ngroup().to_numpy()
    keys = list(space[KEYS].drop_duplicates().itertuples(index=False, name=None))
    runs = space.assign(line=places)[space["seed"].notna()].drop_duplicates(["line", "run"])
    _check_one_run_per_seed(runs)
    num_runs = np.bincount(runs["line"], minlength=len(keys))
    num_done = np.bincount(runs.loc[runs["status"] == "done", "line"], minlength=len(keys))
    early = runs["line"].isin(runs.loc[not_to_the_end(runs), "line"])
    training = {i: ended(part) for i, part in runs[early].groupby("line")}
    return [
        {
            **dict(zip(KEYS, key, strict=True)),
            "runs": int(num_runs[i]),
            "done": int(num_done[i]),
            **({"training": training[i]} if i in training else {}),
            **figures,
        }
        for i, (key, figures) in enumerate(zip(keys, means(space, places), strict=True))
    ]


def _check_one_run_per_seed(runs: pd.DataFrame) -> None:
    """Raises InputError where two runs of a line have one seed: which of them is meant?"""
    twice = runs[runs.duplicated(["line", "seed"])]
    if len(twice):
        first = twice.sort_values(["line", "seed"]).iloc[0]
        alike = runs[(runs["line"] == first["line"]) & (runs["seed"] == first["seed"])]
        raise InputError(
            f"{first['variant']!r} must have one run of each seed in {first['observation_space']} "
            f"with settings alike; of seed {first['seed']} it has the runs "
            f"{', '.join(alike['run'])}: give them different names or seeds, or delete the "
            f"records of all but one"
        )


def _runs(rows: pd.DataFrame) -> dict[tuple[str, ...], dict[int, Run]]:
    """The runs of each variant by seed, given a row for each run; variants by their KEYS."""
    runs: dict[tuple[str, ...], dict[int, Run]] = {}
    keys = zip(*(rows[name].to_list() for name in KEYS), strict=True)
    columns = (rows[name].to_list() for name in ("seed", "run", "value", "fingerprint"))
    for key, seed, *figure in zip(keys, *columns, strict=True):
        runs.setdefault(key, {})[int(seed)] = Run(*figure)
    return runs
