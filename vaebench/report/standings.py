"""Rows -> standings: what each variant's runs amount to, in order within an observation space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError
from vaebench.report.labels import display_names
from vaebench.report.statistics.intervals import mean_interval
from vaebench.report.training import ended

if TYPE_CHECKING:
    import pandas as pd

RANKED_BY = "nll"
KEYS = ["observation_space", "likelihood", "variant", "settings"]
NUMBERS, TEXTS = ("low", "high", "reference"), ("fingerprint", "trust")
"""Columns that rows of earlier records lack."""

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

    @property
    def complete(self) -> bool:
        """Whether no run diverged or failed: where some did, those left are the luckier ones."""
        return self.num_runs == self.num_done

    @property
    def lost(self) -> str:
        """How many runs have no value, in words."""
        return f"{self.num_runs - self.num_done} of {self.num_runs} runs diverged or failed"


def ranked(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Go through the observation spaces, each with a line per variant, best first.

    Columns are KEYS, `runs`, `done`, `rank` and for each metric {metric}_mean, _low, _high (95%
    over seeds). `training`: how its runs ended, where some stopped early or kept other weights than
    the last.

    The rank is by the mean of NLL. A variant with a run that diverged or failed has none, and none
    has where their NLL was made in different ways (`unequal`). Raises InputError where a line has
    two runs of one seed.
    """
    import pandas as pd

    rows = with_newer(rows)
    for space, part in rows.groupby("observation_space", sort=True):
        table = pd.DataFrame([_line(key, group) for key, group in part.groupby(KEYS, sort=False)])
        score = f"{RANKED_BY}_mean"
        table = table if score in table else table.assign(**{score: np.nan})
        rankable = (table["runs"] == table["done"]) & (RANKED_BY not in unequal(part))
        table["rank"] = table[score].where(rankable).rank(method="min")
        yield str(space), table.sort_values(["rank", score], na_position="last")


def standings(rows: pd.DataFrame, order: pd.DataFrame, metric: str) -> list[Standing]:
    """How each variant of one observation space stands in one metric, in the order of its lines."""
    graded = with_newer(rows)
    graded = graded[(graded["metric"] == metric) & graded["seed"].notna()]
    by_variant = dict(iter(graded.groupby(KEYS)))
    return [
        Standing(
            name,
            line["variant"],
            line["runs"],
            line["done"],
            _runs(by_variant.get(tuple(line[k] for k in KEYS))),
            text(line, "training"),
        )
        for name, line in zip(display_names(order), mappings(order), strict=True)
    ]


def unequal(space: pd.DataFrame) -> set[str]:
    """The metrics of one observation space whose values were not made in one way: at some seed,
    two fingerprints."""
    known = space[(space["metric"] != "") & space["value"].notna()]
    ways = known.groupby(["metric", "seed"])["fingerprint"].nunique()
    return {str(metric) for metric in ways[ways > 1].index.get_level_values("metric")}


def with_newer(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with all NUMBERS and TEXTS, and no gaps in those of text."""
    return rows.assign(
        **{name: rows[name].fillna("") if name in rows else "" for name in TEXTS},
        **{name: rows[name] if name in rows else float("nan") for name in NUMBERS},
    )


def mappings(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table as mappings, by the names of their columns."""
    return [{str(k): v for k, v in line.items()} for line in table.to_dict("records")]


def text(line: Mapping[str, Any], column: str) -> str:
    """What a line says in a column of texts; "" where it lacks the column."""
    value = line.get(column, "")
    return value if isinstance(value, str) else ""


def _line(key: Sequence[object], group: pd.DataFrame) -> dict[str, object]:
    """The summary of one variant: counts of its runs and an interval for each metric."""
    runs = group[group["seed"].notna()].drop_duplicates("run")
    _check_one_run_per_seed(key, runs)
    line: dict[str, object] = dict(zip(KEYS, key, strict=True))
    line |= {"runs": len(runs), "done": int((runs["status"] == "done").sum())}
    line |= {"training": words} if (words := ended(runs)) else {}
    for name, rows in group[group["metric"] != ""].groupby("metric", sort=False):
        interval = mean_interval(rows["value"].to_list())
        line |= {f"{name}_{field}": getattr(interval, field) for field in ("mean", "low", "high")}
        line |= {f"{name}_{field}": value for field, value in _provenance(rows).items()}
    return line


def _check_one_run_per_seed(key: Sequence[object], runs: pd.DataFrame) -> None:
    """Raises InputError where two runs of a line have one seed: which of them is meant?"""
    for seed, of_seed in runs.groupby("seed"):
        if len(of_seed) > 1:
            line = dict(zip(KEYS, key, strict=True))
            raise InputError(
                f"{line['variant']!r} must have one run of each seed in {line['observation_space']}"
                f" with settings alike; of seed {seed} it has the runs "
                f"{', '.join(of_seed['run'])}: give them different names or seeds, or delete the "
                f"records of all but one"
            )


def _provenance(rows: pd.DataFrame) -> dict[str, object]:
    """How one metric of a variant was made, where its rows say: the mean ends of its sampling
    interval, what real data score, the fingerprints, and why not to trust it."""
    doubts = rows.loc[rows["trust"] != "", "trust"]
    ends = rows[["low", "high"]].mean()
    columns = {
        "sampling_low": ends["low"],
        "sampling_high": ends["high"],
        "reference": rows["reference"].mean(),
        "fingerprint": _fingerprints(rows.loc[rows["value"].notna(), "fingerprint"]),
        "trust": "" if doubts.empty else doubts.iloc[0],
        "doubted": "" if doubts.empty else f"{len(doubts)} of {len(rows)} runs",
    }
    return {name: value for name, value in columns.items() if value == value and value != ""}


def _fingerprints(of_values: Iterable[str]) -> str:
    """The fingerprints of values in words, "none" for one without; "" where all are without."""
    distinct = set(of_values)
    return "" if distinct <= {""} else " ".join(sorted(one or "none" for one in distinct))


def _runs(rows: pd.DataFrame | None) -> dict[int, Run]:
    if rows is None:
        return {}
    finite = rows[np.isfinite(rows["value"])]
    columns = (finite[name] for name in ("seed", "run", "value", "fingerprint"))
    return {
        int(seed): Run(str(run), float(value), str(fingerprint))
        for seed, run, value, fingerprint in zip(*columns, strict=True)
    }
