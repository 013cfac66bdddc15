"""Rows and curves -> figures. Each function draws one and returns it; nothing is saved here."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from vaebench.report.names import line_names
from vaebench.report.statistics import mean_interval

matplotlib.rcParams["text.parse_math"] = False  # a dollar in a file's name is no formula

HEIGHT = 3.6
LINE_HEIGHT = 0.25
"""Inches of a line of a label, at least."""
LABEL_WIDTH = 40
"""Characters of a line of a label."""
BETA = r"\bbeta=([0-9.eE+-]+)"
"""In a variant's name: beta, where it is a number."""
ESTIMATES = {"elbo": "-ELBO", "nll": "importance-weighted", "ais_nll": "annealed (AIS)"}
"""Of -log p(x), by metric: each an upper bound in expectation, on the examples it was made of."""


def learning_curves(curves: pd.DataFrame) -> Figure | None:
    """The beta = 1 ELBO on validation data while training: mean and 95% interval over seeds; None
    where there is none."""
    known = curves if curves.empty else curves.dropna(subset=["valid_elbo_nats"])
    if known.empty:
        return None
    shown = _named(known)
    early = _early_ends(shown)
    grid = sns.relplot(
        shown,
        **_order(shown),
        x="step",
        y="valid_elbo_nats",
        hue="label",
        col="observation_space",
        kind="line",
        errorbar=_interval,
        height=HEIGHT,
        facet_kws={"sharey": False},
    )
    for space, axes in grid.axes_dict.items():
        part = shown[shown["observation_space"] == space]
        _mark(axes, early[early["observation_space"] == space])
        _zoom(axes, part)
    x = f"training step{'' if early.empty else ' (x: a run stopped early)'}"
    return _labelled(grid, x, "validation ELBO at beta = 1 (nats)")


def comparison(rows: pd.DataFrame) -> Figure:
    """How far each variant is behind the best: every seed, and the mean with its 95% interval."""
    nll = _named(rows[rows["metric"] == "nll"])
    means = nll.groupby(["observation_space", "label"])["value"].transform("mean")
    best = means.groupby(nll["observation_space"]).transform("min")
    shown = nll.assign(behind=nll["value"] - best, mean=means).sort_values("mean")
    most = int(shown.groupby("observation_space")["label"].nunique().max())
    height = max(HEIGHT, _line_height(shown) * most)
    grid = sns.FacetGrid(
        shown,
        row="observation_space",
        row_order=sorted(shown["observation_space"].unique()),
        height=height,
        aspect=2 * HEIGHT / height,
        sharex=False,
        sharey=False,
    )
    for space, axes in grid.axes_dict.items():
        part = shown[shown["observation_space"] == space]
        drawn: dict[str, Any] = {"x": "behind", "y": "label", "ax": axes}
        sns.stripplot(part, **drawn, color="0.6", size=4)
        sns.pointplot(part, **drawn, errorbar=_interval, linestyle="none", markersize=4)
        _logarithmic_from_1(axes)
        axes.axvline(0.0, color="0.8", zorder=0)
    return _labelled(grid, "held-out NLL above the best mean (nats; logarithmic from 1)", "", "row")


def rate_distortion(rows: pd.DataFrame) -> Figure | None:
    """Where each run spends its nats: rate against distortion on held-out data, with a curve
    through the means of variants that differ in beta alone. None where no run has both."""
    known = _wide(rows, ["rate", "distortion"])
    if known.empty:
        return None
    wide = _named(known)
    grid = sns.relplot(
        wide,
        **_order(wide),
        alpha=0.7,
        x="rate",
        y="distortion",
        hue="label",
        col="observation_space",
        height=HEIGHT,
        facet_kws={"sharex": False, "sharey": False},
    )
    for space, axes in grid.axes_dict.items():
        _logarithmic_from_1(axes)
        part = wide[wide["observation_space"] == space]
        for curve in beta_curves(part):
            axes.plot(curve["rate"], curve["distortion"], color="0.7", zorder=0)
        axes.set_xlim(-0.2, 1.3 * part["rate"].max() + 0.1)  # no point on the edge
    return _labelled(grid, "rate (nats; logarithmic from 1)", "distortion (nats)")


def beta_curves(wide: pd.DataFrame) -> list[pd.DataFrame]:
    """Mean `rate` and `distortion` by `beta`, a table for each set of variants of one observation
    space that differ in nothing else; of sets of two and more."""
    betas = wide["variant"].str.extract(BETA, expand=False).astype(float)
    shown = wide.assign(beta=betas, rest=wide["variant"].str.replace(BETA, "beta", regex=True))
    means = shown.dropna(subset=["beta"]).groupby(["likelihood", "settings", "rest", "beta"])
    curves = means[["rate", "distortion"]].mean().reset_index("beta").groupby(level=[0, 1, 2])
    return [curve.sort_values("beta") for _, curve in curves if len(curve) > 1]


def bounds(rows: pd.DataFrame) -> Figure | None:
    """Each estimate of -log p(x) of each variant, where annealing has given one: the mean with its
    95% interval over seeds, above the least mean of the observation space."""
    shown = rows[rows["metric"].isin(ESTIMATES) & rows["value"].notna()]
    if "ais_nll" not in set(shown["metric"]):
        return None
    negated = shown["value"].where(shown["metric"] != "elbo", -shown["value"])
    shown = _named(shown.assign(value=negated))
    means = shown.groupby(["observation_space", "label", "metric"])["value"].transform("mean")
    least = means.groupby(shown["observation_space"]).transform("min")
    shown = shown.assign(above=shown["value"] - least, estimate=shown["metric"].map(ESTIMATES))
    grid = sns.catplot(
        shown.sort_values("above"),
        x="above",
        y="label",
        hue="estimate",
        hue_order=list(ESTIMATES.values()),
        row="observation_space",
        row_order=sorted(shown["observation_space"].unique()),
        kind="point",
        linestyle="none",
        markersize=4,
        dodge=0.4,
        errorbar=_interval,
        height=max(HEIGHT, 1.5 * _line_height(shown) * shown["label"].nunique()),
        aspect=2.0,
        sharex=False,
        sharey=False,
    )
    for axes in grid.axes_dict.values():
        _logarithmic_from_1(axes)
    return _labelled(grid, "nats above the least mean (logarithmic from 1)", "", "row")


def throughput(rows: pd.DataFrame) -> Figure | None:
    """Training examples per second, from the timing pass; None where there was none."""
    shown = rows[(rows["metric"] == "examples_per_s") & rows["value"].notna()]
    if shown.empty:
        return None
    grid = sns.catplot(
        _named(shown),
        x="value",
        y="label",
        col="observation_space",
        col_order=sorted(shown["observation_space"].unique()),
        kind="bar",
        height=HEIGHT,
        aspect=1.3,
        sharey=False,
        color="C0",
    )
    return _labelled(grid, "training examples per second and run", "")


def _interval(values: pd.Series) -> tuple[float, float]:
    """The interval of the tables, for seaborn."""
    interval = mean_interval(values.to_list())
    return interval.low, interval.high


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column `label`, the name that the tables give to their line, in lines that
    leave room for the figure."""
    parts = [
        part.assign(label=[textwrap.fill(name, LABEL_WIDTH) for name in line_names(part)])
        for _, part in rows.groupby("observation_space", sort=True)
    ]
    return pd.concat(parts)


def _line_height(named: pd.DataFrame) -> float:
    """Inches that each label needs, so that none covers the next."""
    return LINE_HEIGHT * float(named["label"].str.count("\n").max() + 1)


def _order(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Panels and colours in an order that does not depend on that of the rows."""
    return {
        "col_order": sorted(rows["observation_space"].unique()),
        "hue_order": sorted(rows["label"].unique(), key=_natural),
    }


def _natural(label: str) -> list[str | float]:
    """By the numbers in a label as numbers: beta=2 comes before beta=16."""
    words = re.split(r"(\d+\.?\d*)", label)  # texts and numbers, in turns
    return [float(word) if i % 2 else word for i, word in enumerate(words)]


def _wide(rows: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """A row for each run that has all of the metrics, with a column for each."""
    keys = ["run", "observation_space", "likelihood", "variant", "settings"]
    shown = rows[rows["metric"].isin(metrics)].pivot(index=keys, columns="metric", values="value")
    return shown.reindex(columns=metrics).dropna().reset_index()


def _logarithmic_from_1(axes: Any) -> None:
    """Linear between -1 and 1, with plain numbers at the ticks."""
    axes.set_xscale("symlog", linthresh=1.0)
    axes.xaxis.set_major_formatter(ScalarFormatter())


def _early_ends(curves: pd.DataFrame) -> pd.DataFrame:
    """The last points of the runs that stopped early."""
    last = curves.groupby("run")["step"].transform("max")
    early = curves["steps"] < curves["num_steps"]
    return curves[early & (curves["step"] == last)]


def _mark(axes: Any, points: pd.DataFrame) -> None:
    """A cross at the end of runs: from there on, a mean is that of the others."""
    axes.plot(points["step"], points["valid_elbo_nats"], "x", color="0.2", ms=5, zorder=3)


def _zoom(axes: Any, shown: pd.DataFrame) -> None:
    """Leave the far tail out of view, where a variant without a rate term would hide the rest, and
    name the variants that are all below."""
    values = shown["valid_elbo_nats"]
    low, middle, high = values.quantile([0.05, 0.5, 1.0])
    margin = max(high - middle, 0.05 * abs(middle))
    bottom = max(low, middle - 4 * margin)
    axes.set_ylim(bottom, high + 0.5 * margin)
    best = shown.groupby("label")["valid_elbo_nats"].max()
    if below := [str(label) for label, value in best.items() if value < bottom]:
        told = f"below: {', '.join(below)}"
        axes.text(0.98, 0.02, told, ha="right", fontsize="small", transform=axes.transAxes)


def _labelled(grid: Any, x: str, y: str, facet: str = "col") -> Figure:
    grid.set_axis_labels(x, y).set_titles(f"{{{facet}_name}}")
    figure: Figure = grid.figure
    return figure


def close(figure: Figure) -> None:
    """Free a figure."""
    plt.close(figure)
