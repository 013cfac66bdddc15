"""Rows and curves -> figures. Each function draws one and returns it; nothing is saved here."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, ScalarFormatter

from vaebench.report.across_spaces import above_best, means_within
from vaebench.report.panels import (
    GREY,
    HEIGHT,
    best_labels,
    best_rows,
    colours_of,
    configured,
    grey_note,
    label_height,
    labelled,
    left_out_note,
    legend_beside,
    most_labels,
    panels_beside,
    with_titles,
)
from vaebench.report.standings import KEYS
from vaebench.report.statistics.intervals import mean_interval

GOLDEN = (5**0.5 - 1.0) / 2.0
"""Multiples of it, modulo 1, lie evenly, however many there are."""
POINTS: dict[str, Any] = {"alpha": 0.7, "edgecolors": "white", "linewidths": 0.5}
"""The look of the runs of named variants."""
BETA = "objective.beta"
"""The column of the weight on the rate, where it is one number for all of training."""
WITHIN_A_DECADE = (-10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0)
"""Ticks of a logarithmic axis that ends before 10, which powers of 10 would leave with none beyond
1."""
ESTIMATES = {"elbo": "-ELBO", "nll": "importance-weighted", "ais_nll": "annealed (AIS)"}
"""Estimates of -log p(x), by metric: upper bounds in expectation, on the examples they are of."""


def comparison(rows: pd.DataFrame) -> Figure:
    """Draw how far each variant is behind the best: every seed, and the mean with its interval."""
    nll = labelled(rows[rows["metric"] == "nll"])
    every = nll.assign(behind=above_best(nll), score=means_within(nll))
    shown = best_rows(every).sort_values("score")
    height = max(HEIGHT, label_height(shown) * most_labels(shown))
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
        _draw_rows(axes, part)
        _logarithmic_from_1(axes)
        axes.axvline(0.0, color="0.8", zorder=0)
    x = "held-out NLL above the best mean (nats; logarithmic from 1)"
    return with_titles(grid, f"{x}{left_out_note(every, shown)}", "", "row")


def _draw_rows(axes: Any, behind: pd.DataFrame) -> None:
    """Draw a row for each label: every value, spread so that all can be seen, and the mean."""
    labels = list(behind["label"].unique())
    rows = behind["label"].map({label: row for row, label in enumerate(labels)})
    spread = 0.2 * ((behind.groupby("label").cumcount() * GOLDEN) % 1.0 - 0.5)
    axes.plot(behind["behind"], rows + spread, "o", color="0.6", markersize=4, markeredgewidth=0)
    intervals = [mean_interval(of.tolist()) for _, of in behind.groupby(rows)["behind"]]
    means, halves = (
        [one.mean for one in intervals],
        [one.high - one.mean for one in intervals],
    )
    axes.errorbar(means, range(len(labels)), xerr=halves, fmt="o", color="C0", markersize=4)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def rate_distortion(rows: pd.DataFrame) -> Figure | None:
    """Draw rate against distortion on held-out data, a point per run, with a curve through the
    means of variants that differ in beta alone. None where no run has both."""
    known = _wide(rows, ["rate", "distortion"])
    if known.empty:
        return None
    wide = labelled(known)
    named = best_labels(wide.assign(score=wide["rate"] + wide["distortion"]))
    grid, colours = panels_beside(wide, named, sharex=False), colours_of(wide, named)
    for space, axes in grid.axes_dict.items():
        part = wide[wide["observation_space"] == space]
        is_named = part["label"].isin(named)
        shown, others = part[is_named], part[~is_named]
        axes.plot(others["rate"], others["distortion"], ".", **GREY)
        axes.scatter(shown["rate"], shown["distortion"], c=[*shown["label"].map(colours)], **POINTS)
        for curve in beta_curves(part):
            axes.plot(curve["rate"], curve["distortion"], color="0.7", zorder=0)
        axes.set_xlim(-0.2, 1.3 * part["rate"].max() + 0.1)  # no point on the edge
        _logarithmic_from_1(axes)
    legend_beside(grid.figure, colours, marker="o", linestyle="none", alpha=POINTS["alpha"])
    x = f"rate (nats; logarithmic from 1){grey_note(wide, named)}"
    return with_titles(grid, x, "distortion (nats)")


def beta_curves(wide: pd.DataFrame) -> list[pd.DataFrame]:
    """Mean `rate` and `distortion` by `objective.beta`, a table for each set of variants of one
    observation space whose configurations differ in nothing else; of sets of two and more."""
    if BETA not in wide:
        return []
    rest = [name for name in (*KEYS, *configured(wide)) if name not in ("variant", BETA)]
    parts = wide.dropna(subset=[BETA]).groupby(rest, dropna=False)
    curves = [part.groupby(BETA)[["rate", "distortion"]].mean().reset_index() for _, part in parts]
    return [curve for curve in curves if len(curve) > 1]


def bounds(rows: pd.DataFrame) -> Figure | None:
    """Draw each estimate of -log p(x) of each variant, where annealing has given one: the mean with
    its 95% interval over seeds, above the least mean of the observation space."""
    shown = rows[rows["metric"].isin(ESTIMATES) & rows["value"].notna()]
    if "ais_nll" not in set(shown["metric"]):
        return None
    negated = shown["value"].where(shown["metric"] != "elbo", -shown["value"])
    shown = labelled(shown.assign(value=negated))
    by = ["label", "metric"]
    every = shown.assign(
        above=above_best(shown, by),
        estimate=shown["metric"].map(ESTIMATES),
        score=means_within(shown, by),
    )
    shown = best_rows(every)
    height = max(HEIGHT, 1.5 * label_height(shown) * most_labels(shown))
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
    x = f"nats above the least mean (logarithmic from 1){left_out_note(every, shown)}"
    return with_titles(grid, x, "", "row")


def throughput(rows: pd.DataFrame) -> Figure | None:
    """Training examples per second, from the timing pass; None where there was none."""
    shown = rows[(rows["metric"] == "examples_per_s") & rows["value"].notna()]
    if shown.empty:
        return None
    every = labelled(shown)
    shown = best_rows(every.assign(score=-every["value"]))
    height = max(HEIGHT, label_height(shown) * most_labels(shown))
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
    return with_titles(
        grid, f"training examples per second and run{left_out_note(every, shown)}", ""
    )


def _interval(values: pd.Series) -> tuple[float, float]:
    """The interval of the tables, for seaborn."""
    interval = mean_interval(values.to_list())
    return interval.low, interval.high


def _wide(rows: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """A row for each run that has all of the metrics, with a column for each beside its own."""
    graded = rows[rows["metric"].isin(metrics)]
    runs = graded.drop_duplicates("run").set_index("run")[[*KEYS, *configured(rows)]]
    values = graded.pivot(index="run", columns="metric", values="value")
    values = values.reindex(columns=metrics).dropna()
    return runs.join(values, how="inner").reset_index()


def _logarithmic_from_1(axes: Any) -> None:
    """Linear between -1 and 1, with plain numbers at the ticks; to be called when all is drawn."""
    axes.set_xscale("symlog", linthresh=1.0)
    if max(map(abs, axes.get_xlim())) < WITHIN_A_DECADE[-1]:
        axes.xaxis.set_major_locator(FixedLocator(WITHIN_A_DECADE))
    axes.xaxis.set_major_formatter(ScalarFormatter())


def close(figure: Figure) -> None:
    """Free the memory of a figure."""
    plt.close(figure)
