"""The numbers of the charts of what else was measured in a folder, each with the `label` by which a
legend calls its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench import results
from vaebench.core.shown import plain
from vaebench.report.page.points import PALETTE
from vaebench.report.time_to_target import MOST_RATIO, profile
from vaebench.report.tuning import tuned_beside_untuned

if TYPE_CHECKING:
    import pandas as pd

    from vaebench.report.evidence import Evidence

Rows = Sequence[Mapping[str, Any]]
SIDES = ("encoder", "decoder")
NUM_TAU = 61
"""Points of a performance profile."""
NOT_RUN = ("refused", "failed", "diverged")


def companions(
    evidence: Evidence, trials: pd.DataFrame, gradients: Rows
) -> dict[str, pd.DataFrame]:
    """The points of each chart that there are any for, by its name."""
    folder = evidence.folder
    tunings = results.read_tuning(folder)
    kernels = results.rows_beside(folder, results.KERNELS)
    tables = {
        **profiles(evidence.profiles),
        "tuned": _named(tuned_beside_untuned(evidence.rows, tunings, evidence.examples)),
        "trials": history(trials),
        "front": front(trials, results.trials(folder, results.FRONT)),
        **{f"signal of the {side}": signal(gradients, side) for side in SIDES},
        "kernels": operations(kernels) if kernels else benchmarks(results.benchmarks(folder)),
    }
    return {name: _shown(table) for name, table in tables.items() if not table.empty}


def refusals(trials: pd.DataFrame, gradients: Rows) -> list[str]:
    """What was tried and refused or lost without a record of its own, each with the reason."""
    lines = []
    if not trials.empty:
        lost = trials[trials["status"].isin(NOT_RUN)]
        words = lost[["variant", "trial", "status", "reason"]].itertuples(index=False, name=None)
        lines += [f"{name}, trial {n}: {status}: {why}" for name, n, status, why in words]
    lines += [
        f"{row['variant']} K={row['num_samples']}, gradients: {row['status']}: {row['reason']}"
        for row in gradients
        if row["status"] != "done" and not row["metric"]
    ]
    return list(dict.fromkeys(lines))


def profiles(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The performance profile of the best variants, a table for each measure."""
    import pandas as pd

    tau = np.linspace(1.0, MOST_RATIO, NUM_TAU)
    return {
        f"profile by {measure}": pd.concat(
            pd.DataFrame({"label": label, "tau": tau, "rho": profile(one["ratio"].to_numpy(), tau)})
            for label, one in list(part.groupby("label", sort=False))[: len(PALETTE)]
        )
        for measure, part in (table.groupby("measure") if not table.empty else ())
    }


def history(trials: pd.DataFrame) -> pd.DataFrame:
    """The first target of each trial that has one, and the best of its variant until then."""
    import pandas as pd

    targets = _targets(trials)
    if not targets or (higher := _higher_is_better(targets[0])) is None:
        return pd.DataFrame()
    known = trials.assign(value=trials[targets[0]], label=trials["variant"])
    known = known[np.isfinite(known["value"])].sort_values(["label", "trial"])
    by = known.groupby("label")["value"]
    best = by.cummax() if higher else by.cummin()
    return known.assign(best=best)[["label", "trial", "value", "best"]]


def front(trials: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The first two targets of each trial, and whether it is on the front of its variant."""
    import pandas as pd

    targets = _targets(trials)
    if best.empty or len(targets) < 2:
        return pd.DataFrame()
    on_front = set(best[["variant", "trial"]].itertuples(index=False, name=None))
    keys = trials[["variant", "trial"]].itertuples(index=False, name=None)
    known = trials.assign(
        label=trials["variant"],
        first=trials[targets[0]],
        second=trials[targets[1]],
        front=[int(key in on_front) for key in keys],
    )
    return known[["label", "trial", "first", "second", "front"]].dropna()


def _targets(trials: pd.DataFrame) -> list[str]:
    """The columns of a sweep's targets and limited metrics, which stand before the status."""
    columns = [str(name) for name in trials]
    return columns[2 : columns.index("status")] if columns else []


def _higher_is_better(column: str) -> bool | None:
    unit = results.UNITS.get(column) or results.UNITS.get(column.removeprefix("valid_"))
    return None if unit is None else unit[1]


def _named(tuned: pd.DataFrame) -> pd.DataFrame:
    """The gains by tuning that are known."""
    if tuned.empty:
        return tuned
    known = tuned.dropna(subset=["gain", "low", "high"])
    shown = ["untuned", "tuned", "gain", "low", "high", "verdict"]
    return known.assign(label=known["variant"])[["label", *shown]]


def signal(gradients: Rows, side: str) -> pd.DataFrame:
    """The signal-to-noise of the gradient of one side against K, at the last checkpoint."""
    import pandas as pd

    points = [
        {
            "label": row["variant"],
            "num_samples": row["num_samples"],
            "step": row["step"],
            "snr": row["value"],
            "low": row["value"] - (row["standard_error"] or 0.0),
            "high": row["value"] + (row["standard_error"] or 0.0),
        }
        for row in gradients
        if (row["metric"], row["side"]) == ("snr_vector", side) and row["value"] is not None
    ]
    table = pd.DataFrame(points)
    if table.empty:
        return table
    last = table[(table["step"] == table["step"].max()) & (table["low"] > 0.0)]
    return last.sort_values(["label", "num_samples"])


def operations(kernels: Rows) -> pd.DataFrame:
    """The time of each fused operation by every way of doing it, at its largest size with K = 1."""
    import pandas as pd

    columns = {"time_median": "ms", "time_q20": "low", "time_q80": "high"}
    measured = [
        {"operation": f"{row['op']} {row['size']}", "op": row["op"], "label": row["backend"]}
        | {"size": _elements(row["size"]), "column": columns[row["metric"]], "value": row["value"]}
        for row in kernels
        if row.get("direction") == "both" and row.get("metric") in columns
        if row["value"] is not None and row["size"].startswith("1x")
    ]
    table = pd.DataFrame(measured)
    if table.empty:
        return table
    largest = table[table["size"] == table.groupby("op")["size"].transform("max")]
    keys = ["operation", "label"]
    return largest.pivot(index=keys, columns="column", values="value").reset_index()


def _elements(size: str) -> int:
    return int(np.prod([int(length) for length in size.split("x")]))


def benchmarks(measured: Rows) -> pd.DataFrame:
    """The time of each fused operation at each size, as pytest-benchmark measured it."""
    import pandas as pd

    points = [
        {
            "operation": group.rpartition(" ")[0],
            "label": group.rpartition(" ")[2],
            "ms": 1e3 * one["stats"]["median"],
            "low": 1e3 * one["stats"]["q1"],
            "high": 1e3 * one["stats"]["q3"],
        }
        for one in measured
        if "x" in (group := one["group"] or "").rpartition(" ")[2]  # the lengths of a tensor
    ]
    return pd.DataFrame(points)


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its words as they may be shown."""
    words = [name for name in ("label", "operation", "verdict") if name in table]
    return table.assign(**{name: table[name].map(plain) for name in words})
