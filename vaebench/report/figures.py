"""Rows and curves -> figures. Each function draws one and returns it; nothing is saved here."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from vaebench.report.labels import line_names
from vaebench.report.lettering import lettered
from vaebench.report.statistics.intervals import mean_interval

HEIGHT = 3.6
LINE_HEIGHT = 0.25
"""Inches of a line of a label, at least."""
LABEL_WIDTH = 40
"""Characters of a line of a label."""
LEGEND_LINE, SLIM = 0.24, 0.7
"""Inches of a line of a legend; the width of a high panel, as a share of its height."""
GREY: dict[str, Any] = {"color": "0.8", "linewidth": 0.8, "zorder": 0}
MOST_COLOURS, MOST_LINES = 20, 36
"""Variants that a legend names, and lines of a label that it has: the best; others are grey."""
MOST_BELOW = 3
"""Variants out of view that a panel names."""
MOST_ROWS = 60
"""Variants of a panel that has a row for each: the best."""
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
    last = shown.loc[shown.groupby("run")["step"].idxmax()]
    named = _best(last.assign(score=-last["valid_elbo_nats"]))
    early = _early_ends(shown)
    grid = sns.relplot(
        shown[shown["label"].isin(named)],
        **_order(shown, named),
        x="step",
        y="valid_elbo_nats",
        hue="label",
        col="observation_space",
        kind="line",
        errorbar=_interval,
        facet_kws={"sharey": False},
    )
    for space, axes in grid.axes_dict.items():
        part = shown[shown["observation_space"] == space]
        for _, other in part[~part["label"].isin(named)].groupby("label"):
            axes.plot(other.groupby("step")["valid_elbo_nats"].mean(), **GREY)
        _mark(axes, early[early["observation_space"] == space])
        _zoom(axes, part)
    x = f"training step{'' if early.empty else ' (x: a run stopped early)'}{_others(shown, named)}"
    return _labelled(grid, x, "validation ELBO at beta = 1 (nats)")


def comparison(rows: pd.DataFrame) -> Figure:
    """How far each variant is behind the best: every seed, and the mean with its 95% interval."""
    nll = _named(rows[rows["metric"] == "nll"])
    means = nll.groupby(["observation_space", "label"])["value"].transform("mean")
    best = means.groupby(nll["observation_space"]).transform("min")
    every = nll.assign(behind=nll["value"] - best, score=means)
    shown = _first_rows(every).sort_values("score")
    height = max(HEIGHT, _line_height(shown) * _most_labels(shown))
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
    x = "held-out NLL above the best mean (nats; logarithmic from 1)"
    return _labelled(grid, f"{x}{_left_out(every, shown)}", "", "row")


def rate_distortion(rows: pd.DataFrame) -> Figure | None:
    """Where each run spends its nats: rate against distortion on held-out data, with a curve
    through the means of variants that differ in beta alone. None where no run has both."""
    known = _wide(rows, ["rate", "distortion"])
    if known.empty:
        return None
    wide = _named(known)
    named = _best(wide.assign(score=wide["rate"] + wide["distortion"]))
    grid = sns.relplot(
        wide[wide["label"].isin(named)],
        **_order(wide, named),
        alpha=0.7,
        x="rate",
        y="distortion",
        hue="label",
        col="observation_space",
        facet_kws={"sharex": False, "sharey": False},
    )
    for space, axes in grid.axes_dict.items():
        _logarithmic_from_1(axes)
        part = wide[wide["observation_space"] == space]
        others = part[~part["label"].isin(named)]
        axes.plot(others["rate"], others["distortion"], ".", **GREY)
        for curve in beta_curves(part):
            axes.plot(curve["rate"], curve["distortion"], color="0.7", zorder=0)
        axes.set_xlim(-0.2, 1.3 * part["rate"].max() + 0.1)  # no point on the edge
    x = f"rate (nats; logarithmic from 1){_others(wide, named)}"
    return _labelled(grid, x, "distortion (nats)")


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
    every = shown.assign(
        above=shown["value"] - least, estimate=shown["metric"].map(ESTIMATES), score=means
    )
    shown = _first_rows(every)
    height = max(HEIGHT, 1.5 * _line_height(shown) * _most_labels(shown))
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
        height=height,
        aspect=2.0 * HEIGHT / height,
        sharex=False,
        sharey=False,
    )
    for axes in grid.axes_dict.values():
        _logarithmic_from_1(axes)
    x = f"nats above the least mean (logarithmic from 1){_left_out(every, shown)}"
    return _labelled(grid, x, "", "row")


def throughput(rows: pd.DataFrame) -> Figure | None:
    """Training examples per second, from the timing pass; None where there was none."""
    shown = rows[(rows["metric"] == "examples_per_s") & rows["value"].notna()]
    if shown.empty:
        return None
    every = _named(shown)
    shown = _first_rows(every.assign(score=-every["value"]))
    height = max(HEIGHT, _line_height(shown) * _most_labels(shown))
    grid = sns.catplot(
        shown,
        x="value",
        y="label",
        col="observation_space",
        col_order=sorted(shown["observation_space"].unique()),
        kind="bar",
        height=height,
        aspect=1.3 * HEIGHT / height,
        sharey=False,
        color="C0",
    )
    return _labelled(grid, f"training examples per second and run{_left_out(every, shown)}", "")


def _interval(values: pd.Series) -> tuple[float, float]:
    """The interval of the tables, for seaborn."""
    interval = mean_interval(values.to_list())
    return interval.low, interval.high


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column `label`, the name that the tables give to their line, in lines that
    leave room for the figure."""
    parts = [
        part.assign(label=line_names(part))
        for _, part in rows.groupby("observation_space", sort=True)
    ]
    named = pd.concat(parts)
    letters = lettered([*named["label"].unique(), *named["observation_space"].unique()])
    wrapped = {name: textwrap.fill(word, LABEL_WIDTH) for name, word in letters.items()}
    return named.assign(
        label=named["label"].map(wrapped),
        observation_space=named["observation_space"].map(letters),
    )


def _places(scored: pd.DataFrame) -> pd.Series:
    """The place of each observation space and label, by the mean of `score`, the least first."""
    means = scored.groupby(["observation_space", "label"])["score"].mean()
    return means.groupby(level=0).rank(method="first")


def _best(scored: pd.DataFrame) -> list[str]:
    """The labels that a legend has room for."""
    places = _places(scored).groupby(level=1).min().sort_values(kind="stable")
    labels = [str(label) for label in places.index]
    lines = itertools.accumulate(label.count("\n") + 1 for label in labels)
    fitting = sum(num <= MOST_LINES for num in lines)
    return labels[: max(1, min(MOST_COLOURS, fitting))]


def _others(every: pd.DataFrame, named: Sequence[str]) -> str:
    """What grey means, for the label of an axis."""
    num = every["label"].nunique() - len(named)
    return f"\ngrey: {num} other{'s' if num > 1 else ''}" if num else ""


def _first_rows(scored: pd.DataFrame) -> pd.DataFrame:
    """The rows of the best labels of each observation space."""
    places = _places(scored)
    best = places[places <= MOST_ROWS].index
    return scored[pd.MultiIndex.from_frame(scored[list(best.names)]).isin(best)]


def _left_out(every: pd.DataFrame, shown: pd.DataFrame) -> str:
    """That not every variant is shown, for the label of an axis."""
    num = _most_labels(every)
    return f"\nthe best {MOST_ROWS} of {num}" if len(every) > len(shown) else ""


def _most_labels(named: pd.DataFrame) -> int:
    """Of any one observation space."""
    return int(named.groupby("observation_space")["label"].nunique().max())


def _line_height(named: pd.DataFrame) -> float:
    """Inches that each label needs, so that none covers the next."""
    return LINE_HEIGHT * float(named["label"].str.count("\n").max() + 1)


def _order(rows: pd.DataFrame, named: Sequence[str]) -> dict[str, Any]:
    """Panels and colours in an order that does not depend on that of the rows; panels as high as
    the legend of those that it names."""
    height = max(HEIGHT, LEGEND_LINE * sum(label.count("\n") + 1 for label in named))
    return {
        "col_order": sorted(rows["observation_space"].unique()),
        "hue_order": sorted(named, key=_natural),
        "height": height,
        "aspect": max(HEIGHT, SLIM * height) / height,
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
        more = f" and {len(below) - MOST_BELOW} more" if len(below) > MOST_BELOW else ""
        told = f"below: {', '.join(below[:MOST_BELOW])}{more}"
        axes.text(0.98, 0.02, told, ha="right", fontsize="small", transform=axes.transAxes)


def _labelled(grid: Any, x: str, y: str, facet: str = "col") -> Figure:
    grid.set_axis_labels(x, y).set_titles(f"{{{facet}_name}}")
    figure: Figure = grid.figure
    return figure


def close(figure: Figure) -> None:
    """Free a figure."""
    plt.close(figure)
