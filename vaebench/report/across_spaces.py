"""Variants over all observation spaces: how far behind they are, and their mean ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vaebench.report.labels import display_names
from vaebench.report.standings import RANKED_BY
from vaebench.report.statistics.bootstrap import interquartile_mean
from vaebench.report.statistics.ranks import MeanRanks, mean_ranks

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BlockRanks:
    """The mean ranks of the variants that every block has, and the names of the others."""

    names: Sequence[str]
    mean: MeanRanks
    left_out: Sequence[str] = ()
    """Variants that lack a value in one block or more: their ranks would be of other blocks."""


def means_within(rows: pd.DataFrame, by: Sequence[str] = ("label",)) -> pd.Series:
    """For each row the mean of `value` over those of its observation space that agree in `by`."""
    means: pd.Series = rows.groupby(["observation_space", *by])["value"].transform("mean")
    return means


def above_best(rows: pd.DataFrame, by: Sequence[str] = ("label",)) -> pd.Series:
    """How far the `value` of each row is above the least mean (see `means_within`) of its
    observation space."""
    means = means_within(rows, by)
    above: pd.Series = rows["value"] - means.groupby(rows["observation_space"]).transform("min")
    return above


def behind(rows: pd.DataFrame) -> pd.DataFrame:
    """Say of each run how many nats of NLL it is above the best mean of its observation space.

    One row per run: `observation_space`, `label`, `seed` and `behind`. Differences of NLL mean the
    same in every space: units of x cancel.
    """
    import pandas as pd

    nll = rows[(rows["metric"] == RANKED_BY) & rows["seed"].notna() & rows["value"].notna()]
    parts = [
        part.assign(label=display_names(part))[["observation_space", "label", "seed", "value"]]
        for _, part in nll.groupby("observation_space", sort=True)
    ]
    if not parts:
        return pd.DataFrame(columns=["observation_space", "label", "seed", "behind"])
    runs = pd.concat(parts)
    return runs.assign(behind=above_best(runs)).drop(columns="value")


def interquartile_means(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per variant over the observation spaces that it is in, which are the strata: the
    interquartile mean of how far behind its runs are (`iqm_nats`, `low`, `high`), least first."""
    import pandas as pd

    table = []
    for label, runs in behind(rows).groupby("label", sort=True):
        spaces = runs.groupby("observation_space", sort=True)["behind"]
        strata = [values.to_numpy(float) for _, values in spaces]
        interval = interquartile_mean(strata)
        table.append((label, len(strata), interval.num, interval.mean, interval.low, interval.high))
    columns = ["variant", "observation_spaces", "runs", "iqm_nats", "low", "high"]
    return pd.DataFrame(table, columns=columns).sort_values("iqm_nats", ignore_index=True)


def ranks_over_blocks(rows: pd.DataFrame) -> BlockRanks | None:
    """Rank the variants in each block and average the ranks; None for too few of either.

    A block is an observation space with a seed. Seeds of one space are blocks for other seeds on
    the same data, not for other data. Variants that lack a block are left out.
    """
    every = behind(rows).pivot_table(
        index=["observation_space", "seed"], columns="label", values="behind"
    )
    table = every.dropna(axis="columns")
    mean = mean_ranks(table.to_numpy(np.float64))
    if mean is None:
        return None
    left_out = every.columns.difference(table.columns)
    return BlockRanks(list(map(str, table.columns)), mean, list(map(str, left_out)))
