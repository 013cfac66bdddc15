"""Variants over all observation spaces: how far behind they are, and their mean ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vaebench.report.labels import line_names
from vaebench.report.standings import RANKED_BY
from vaebench.report.statistics.bootstrap import interquartile_mean
from vaebench.report.statistics.ranks import MeanRanks, mean_ranks

if TYPE_CHECKING:
    import pandas as pd


def behind(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per run: `observation_space`, `label`, `seed` and `behind`, nats of NLL above the
    best mean of its space. Differences of NLL mean the same in every space: units of x cancel."""
    import pandas as pd

    nll = rows[(rows["metric"] == RANKED_BY) & rows["seed"].notna() & rows["value"].notna()]
    parts = [
        part.assign(label=line_names(part))[["observation_space", "label", "seed", "value"]]
        for _, part in nll.groupby("observation_space", sort=True)
    ]
    if not parts:
        return pd.DataFrame(columns=["observation_space", "label", "seed", "behind"])
    found = pd.concat(parts)
    means = found.groupby(["observation_space", "label"])["value"].transform("mean")
    best = means.groupby(found["observation_space"]).transform("min")
    return found.assign(behind=found["value"] - best).drop(columns="value")


def interquartile_means(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per variant over the observation spaces that it is in, which are the strata: the
    interquartile mean of how far behind its runs are (`iqm_nats`, `low`, `high`), least first."""
    import pandas as pd

    lines = []
    for label, own in behind(rows).groupby("label", sort=True):
        spaces = own.groupby("observation_space", sort=True)["behind"]
        strata = [values.to_numpy(float) for _, values in spaces]
        found = interquartile_mean(strata)
        lines.append((label, len(strata), found.num, found.mean, found.low, found.high))
    columns = ["variant", "observation_spaces", "runs", "iqm_nats", "low", "high"]
    return pd.DataFrame(lines, columns=columns).sort_values("iqm_nats", ignore_index=True)


def ranks_over_blocks(rows: pd.DataFrame) -> tuple[list[str], MeanRanks] | None:
    """The variants that every block has, and their mean ranks; None for too few of either.

    A block is an observation space with a seed. Seeds of one space are blocks for other seeds on
    the same data, not for other data.
    """
    table = behind(rows).pivot_table(
        index=["observation_space", "seed"], columns="label", values="behind"
    )
    table = table.dropna(axis="columns")
    found = mean_ranks(table.to_numpy(np.float64))
    return None if found is None else ([str(label) for label in table.columns], found)
