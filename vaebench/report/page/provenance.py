"""What was run: data, versions, budgets, and the runs of each variant, lost ones included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vaebench.report.standings import KEYS, RANKED_BY

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 5_000
"""Runs of which the page lists every one."""


@dataclass(frozen=True)
class Settings:
    """What an observation space's runs were made of."""

    title: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Member:
    """A run of a variant."""

    run: str
    seed: int
    status: str
    score: float
    """Its NLL; NaN where it has none."""
    steps: str
    reason: str


def settings(configs: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> list[Settings]:
    """The identity of the data and the budget of each observation space, by a run's configuration.

    A configuration that lacks a part, as that of a model from elsewhere may, says nothing of it.
    """
    return [
        Settings(titles[space], _facts(space, config)) for space, config in sorted(configs.items())
    ]


def _facts(space: str, config: Mapping[str, Any]) -> dict[str, str]:
    data, train, grading = (config.get(part) or {} for part in ("data", "train", "evaluate"))
    facts = {
        "observation space": space,
        "data": str(data.get("name", "")),
        "fingerprint of the data": str(data.get("fingerprint", "")),
        "training of one of its runs": _joined(train),
        "model of one of its runs": _joined(config.get("model") or {}),
        "samples of the NLL": str(grading.get("num_samples", "")),
    }
    return {name: words for name, words in facts.items() if words}


def _joined(section: Mapping[str, Any]) -> str:
    """A part of a configuration in words: what is set, that of a choice beside the rest."""
    flat = {name: value for name, value in section.items() if not isinstance(value, Mapping)}
    chosen = [value for value in section.values() if isinstance(value, Mapping)]
    shown = {name: value for one in (flat, *chosen) for name, value in one.items()}
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in shown.items() if value is not None
    )


def members(
    runs: pd.DataFrame, rows: pd.DataFrame, places: Mapping[tuple[str, ...], int]
) -> dict[int, list[Member]]:
    """The runs of each variant, by its place on the page; `places` by the values of KEYS."""
    import pandas as pd

    graded = rows[rows["metric"] == RANKED_BY].drop_duplicates("run")
    scores = dict(zip(graded["run"], graded["value"].tolist(), strict=True))
    columns = [*KEYS, "run", "seed", "status", "reason", "steps"]
    by_place: dict[int, list[Member]] = {}
    for *keys, run, seed, status, reason, steps in runs.reindex(columns=columns).itertuples(
        index=False, name=None
    ):
        member = Member(
            run,
            int(seed),
            status,
            scores.get(run, math.nan),
            "" if pd.isna(steps) else str(steps),
            _last_line(reason),
        )
        by_place.setdefault(places[tuple(keys)], []).append(member)
    return {place: sorted(ones, key=lambda one: one.seed) for place, ones in by_place.items()}


def most_listed(of_variant: Mapping[int, Sequence[Member]]) -> int | None:
    """How many runs of a variant there is room to list, one at least; None for all."""
    if sum(map(len, of_variant.values())) <= MOST_LISTED:
        return None
    return max(1, MOST_LISTED // len(of_variant))


def _last_line(reason: object) -> str:
    return (str(reason).strip().splitlines() or [""])[-1] if isinstance(reason, str) else ""


def lost(of_variant: Mapping[int, Sequence[Member]], names: Mapping[Any, str]) -> list[str]:
    """The runs that have no figures, each with how it ended and the reason."""
    return [
        f"{names[place]}, seed {one.seed}: {one.status}: {one.reason}"
        for place, runs in sorted(of_variant.items())
        for one in runs
        if one.status != "done"
    ]


def environments(runs: pd.DataFrame) -> Sequence[str]:
    """The versions and machines that the runs were made with."""
    return [str(one) for one in runs["environment"].drop_duplicates()]
