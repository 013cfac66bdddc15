"""Rows -> lines: what one variant's runs amount to, in order within its observation space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError
from vaebench.report.labels import line_names
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
class Line:
    """One metric of one variant in one observation space."""

    name: str
    variant: str
    num_runs: int
    num_done: int
    runs: Mapping[int, Run]
    """By seed, those whose value is finite."""
    training: str = ""
    """How its runs ended, where not all with the weights of their last step."""

    @property
    def complete(self) -> bool:
        """Whether no run diverged or failed: what is left of others is the luckier half."""
        return self.num_runs == self.num_done

    @property
    def lost(self) -> str:
        """How many runs have no value, in words."""
        return f"{self.num_runs - self.num_done} of {self.num_runs} runs diverged or failed"


def ranked(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each observation space with its lines, best first: KEYS, `runs`, `done`, `rank` and for each
    metric {metric}_mean, _low, _high (95% over seeds). `training`: how its runs ended, where some
    stopped early or kept other weights than the last.

    The rank is by the mean of NLL. A variant with a run that diverged or failed has none, and none
    has where their NLL was made in different ways (`unequal`). Raises InputError where a line has
    two runs of one seed.
    """
    import pandas as pd

    rows = with_newer(rows)
    for space, own in rows.groupby("observation_space", sort=True):
        lines = pd.DataFrame([_line(key, group) for key, group in own.groupby(KEYS, sort=False)])
        score = f"{RANKED_BY}_mean"
        lines = lines if score in lines else lines.assign(**{score: np.nan})
        rankable = (lines["runs"] == lines["done"]) & (RANKED_BY not in unequal(own))
        lines["rank"] = lines[score].where(rankable).rank(method="min")
        yield str(space), lines.sort_values(["rank", score], na_position="last")


def metric_lines(rows: pd.DataFrame, order: pd.DataFrame, metric: str) -> list[Line]:
    """One metric of the lines of one observation space, in their order."""
    shown = with_newer(rows)
    shown = shown[(shown["metric"] == metric) & shown["seed"].notna()]
    found = dict(iter(shown.groupby(KEYS)))
    lines = records(order)
    return [
        Line(
            name,
            line["variant"],
            line["runs"],
            line["done"],
            _runs(found.get(tuple(line[k] for k in KEYS))),
            text(line, "training"),
        )
        for name, line in zip(line_names(order), lines, strict=True)
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


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table as mappings."""
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
    for name, found in group[group["metric"] != ""].groupby("metric", sort=False):
        interval = mean_interval(found["value"].to_list())
        line |= {f"{name}_{field}": getattr(interval, field) for field in ("mean", "low", "high")}
        line |= {f"{name}_{field}": value for field, value in _made(found).items()}
    return line


def _check_one_run_per_seed(key: Sequence[object], runs: pd.DataFrame) -> None:
    """Raises InputError where two runs of a line have one seed: which of them is meant?"""
    for seed, own in runs.groupby("seed"):
        if len(own) > 1:
            told = dict(zip(KEYS, key, strict=True))
            raise InputError(
                f"{told['variant']!r} must have one run of each seed in {told['observation_space']}"
                f" with settings alike; of seed {seed} it has the runs {', '.join(own['run'])}: "
                f"give them different names or seeds, or delete the records of all but one"
            )


def _made(found: pd.DataFrame) -> dict[str, object]:
    """How one metric of a variant was made, where its rows say: the mean ends of its sampling
    interval, what real data score, the fingerprints, and why not to trust it."""
    doubts = found.loc[found["trust"] != "", "trust"]
    ends = found[["low", "high"]].mean()
    told = {
        "sampling_low": ends["low"],
        "sampling_high": ends["high"],
        "reference": found["reference"].mean(),
        "fingerprint": _fingerprints(found.loc[found["value"].notna(), "fingerprint"]),
        "trust": f"{len(doubts)} of {len(found)} runs: {doubts.iloc[0]}" if len(doubts) else "",
    }
    return {name: value for name, value in told.items() if value == value and value != ""}


def _fingerprints(found: Iterable[str]) -> str:
    """All fingerprints of values, "none" for those that lack one beside others; "" if all do."""
    own = set(found)
    return "" if own <= {""} else " ".join(sorted(one or "none" for one in own))


def _runs(rows: pd.DataFrame | None) -> dict[int, Run]:
    if rows is None:
        return {}
    finite = rows[np.isfinite(rows["value"])]
    columns = (finite[name] for name in ("seed", "run", "value", "fingerprint"))
    return {
        int(seed): Run(str(run), float(value), str(fingerprint))
        for seed, run, value, fingerprint in zip(*columns, strict=True)
    }
