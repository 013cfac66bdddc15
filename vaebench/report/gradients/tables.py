"""Rows of a gradient measurement -> a table: signal, noise, bias and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

Row = dict[str, Any]
SIDES = ("encoder", "decoder")
FALSE_ALARMS = 0.01
"""The chance that any t of a panel falls outside its band where there is no bias."""
NUM_BUDGETS = 61
KEYS = ["step", "side", "variant"]


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """Make a line per checkpoint, side, variant and K: metrics as columns, the extreme bias_t."""
    shown = rows[rows["step"].notna() & rows["side"].isin(SIDES) & rows["value"].notna()]
    if shown.empty:
        return pd.DataFrame()
    order = list(dict.fromkeys(shown["metric"]))
    table = shown.pivot_table(
        index=[*KEYS, "num_samples"],
        columns="metric",
        values="value",
        aggfunc=lambda values: values.loc[values.abs().idxmax()],
        sort=False,
    )
    return table[order].rename(columns={"bias_t": "bias_t_extreme"}).reset_index()


def printable(rows: Sequence[Row]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Tabulate each checkpoint and side: a line per variant, its SNR at each K, the K that costs
    least, and the worst t-statistic of a bias.
    """
    table = wide(pd.DataFrame(rows))
    for (step, side), part in table.groupby(KEYS[:2], sort=False) if len(table) else ():
        samples = sorted(part["num_samples"].unique())
        by_variant = part.groupby("variant", sort=False)
        lines = [
            _printed(name, line.set_index("num_samples"), samples) for name, line in by_variant
        ]
        yield f"signal-to-noise of the {side}'s gradient after {step:.0f} steps", lines


def _printed(variant: object, by_k: pd.DataFrame, samples: Sequence[int]) -> dict[str, str]:
    none = pd.Series(dtype=float)
    snr, t = (by_k.get(metric, none) for metric in ("snr_vector", "bias_t_extreme"))
    return {
        "variant": str(variant),
        **{f"K={k}": _text(snr.get(k)) for k in samples},
        "evaluations to SNR 1 (at K)": _least(by_k, "evaluations_to_snr_1"),
        "seconds to SNR 1 (at K)": _least(by_k, "seconds_to_snr_1"),
        "worst bias t": _text(t.abs().max()),
    }


def refusals(rows: Sequence[Row]) -> list[str]:
    """A sentence for each variant and K that has no numbers."""
    sentences = [
        f"{row['status']}: {row['variant']} K={row['num_samples']}: {row['reason']}"
        for row in rows
        if row["status"] != "done" and not row["metric"]
    ]
    return list(dict.fromkeys(sentences))


def band(num: int) -> float:
    """The limit within which all of `num` t-statistics of no bias lie, 99 times in a hundred.

    A normal quantile, as the replicas are many, with Bonferroni's correction for `num`.
    """
    from scipy import stats

    return float(stats.norm.ppf(1.0 - FALSE_ALARMS / (2.0 * max(1, num))))


def envelope(rows: pd.DataFrame) -> pd.DataFrame:
    """Find the least relative error to log p(x)'s gradient at each budget of decoder evaluations.

    Of all K: the bias, and the noise left after averaging as many gradients as the budget holds.
    """
    table = wide(rows[rows["side"] == "decoder"])
    needed = ["log_px_relative_error", "log_px_relative_noise"]
    if not set(needed) <= set(table):
        return pd.DataFrame()
    table = table.dropna(subset=needed)
    batch = int(rows["batch_size"].iloc[0])
    costs = table["num_samples"] * batch
    budgets = np.geomspace(costs.min(), 4096 * costs.min(), NUM_BUDGETS)
    parts = []
    for (step, variant), part in table.groupby(["step", "variant"], sort=False):
        cost = part["num_samples"].to_numpy()[:, None] * batch
        noise = part["log_px_relative_noise"].to_numpy()[:, None] ** 2 * cost / budgets
        errors = np.sqrt(part["log_px_relative_error"].to_numpy()[:, None] ** 2 + noise)
        errors[cost > budgets * 1.0001] = np.inf
        best = errors.min(0)
        parts.append(
            pd.DataFrame({"step": step, "variant": variant, "budget": budgets, "error": best})
        )
    least = pd.concat(parts)
    return least[np.isfinite(least["error"])]


def _least(by_k: pd.DataFrame, metric: str) -> str:
    if metric not in by_k or by_k[metric].isna().all():
        return "-"
    return f"{_text(by_k[metric].min())} ({by_k[metric].idxmin()})"


def _text(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3g}"
