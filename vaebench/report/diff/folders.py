"""A results folder as it is put beside another, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.core.errors import InputError, near_match
from vaebench.report.evidence import titles_of
from vaebench.report.standings import KEYS, ranked
from vaebench.report.tables import BRIEF

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, ...]
"""The values of KEYS."""


@dataclass(frozen=True)
class Folder:
    """The runs of a results folder, and its last timing pass."""

    name: str
    rows: pd.DataFrame
    """Its runs are named FOLDER/ID here, as the other folder may have runs of the same ids."""
    orders: Mapping[str, pd.DataFrame]
    """The variants of each observation space that have runs, see `standings.ranked`."""
    timings: Mapping[Key, results.Record]
    titles: Mapping[str, str]
    """What people call the observation spaces."""

    @property
    def metrics(self) -> set[str]:
        """The metrics that runs have a value of."""
        return set(self.rows.loc[self.rows["value"].notna(), "metric"])


def read(path: Path, metrics: Collection[str]) -> Folder:
    """Read a folder. Raises InputError where it has no runs, or two of one line and seed."""
    rows = results.load(path, metrics)
    rows = rows[rows["seed"].notna()]
    if rows.empty:
        raise InputError(f"{path} must hold runs (runs/*.json); it has none: run a study first")
    timings = {
        tuple(getattr(record.labels, name) for name in KEYS): record
        for record in results.timings(path)
    }
    orders = {space: order.reset_index(drop=True) for space, order in ranked(rows)}
    renamed = rows.assign(run=f"{path}/" + rows["run"].astype(str))
    return Folder(str(path), renamed, orders, timings, titles_of(path, rows))


def keys(order: pd.DataFrame) -> list[Key]:
    """What each variant of an observation space goes by."""
    return list(order[KEYS].itertuples(index=False, name=None))


def common_spaces(before: Folder, after: Folder) -> list[str]:
    """The observation spaces that both have. Raises InputError where there is none."""
    if common := sorted(before.orders.keys() & after.orders.keys()):
        return common
    each = "; ".join(f"{side.name} has {', '.join(side.orders)}" for side in (before, after))
    raise InputError(
        f"two folders must have an observation space in common to be compared; {each}: run both "
        f"studies on the same data, with likelihoods of one kind and the same evaluate.num_samples"
    )


def common_metrics(before: Folder, after: Folder, metrics: Sequence[str]) -> list[str]:
    """These metrics, or else those of the short ranking, that both have. A folder that lost all of
    its runs has none, and is compared in those of the other. Raises InputError where there is no
    common one, and for one of these that not both have."""
    known = [side.metrics for side in (before, after) if side.metrics]
    common = set.intersection(*known) if known else set()
    for metric in metrics:
        if metric not in common:
            raise InputError(
                f"no metric {metric!r} that runs of both folders have; {near_match(metric, common)}"
            )
    if chosen := list(dict.fromkeys(metrics)) or [name for name in BRIEF if name in common]:
        return chosen
    each = "; ".join(
        f"{side.name} has {', '.join(sorted(side.metrics)) or 'none'}" for side in (before, after)
    )
    raise InputError(f"two folders must have a metric of the ranking in common; {each}")
