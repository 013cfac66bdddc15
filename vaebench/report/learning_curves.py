"""Draws the learning curves of the variants, with the runs that stopped early."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")

import pandas as pd
from matplotlib.figure import Figure

from vaebench.report.labels import some_of
from vaebench.report.panels import (
    GREY,
    best_labels,
    colours_of,
    grey_note,
    labelled,
    legend_beside,
    panels_beside,
    with_titles,
)
from vaebench.report.statistics.intervals import half_width

MOST_BELOW = 3
"""Variants out of view that a panel names."""


def learning_curves(curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> Figure | None:
    """Draw the beta = 1 ELBO on validation data while training: mean and 95% interval over seeds;
    None where there is none.

    `runs`: a row for each run with what it is named by, where the points lack that.
    """
    known = curves if curves.empty else curves.dropna(subset=["valid_elbo_nats"])
    if known.empty:
        return None
    runs = known.drop_duplicates("run") if runs is None else runs[runs["run"].isin(known["run"])]
    of_runs = labelled(runs)
    shown = _of_runs(known, of_runs)
    last = shown.loc[shown.groupby("run", observed=True)["step"].idxmax()]
    last = last.astype({"observation_space": "str", "label": "str"})
    named = best_labels(last.assign(score=-last["valid_elbo_nats"]))
    early = _early_ends(shown, of_runs)
    means = _means(shown)
    grid, colours = panels_beside(of_runs, named), colours_of(of_runs, named)
    for space, axes in grid.axes_dict.items():
        for label, part in means[means["observation_space"] == space].groupby("label"):
            _draw(axes, part, colours.get(str(label)))
        _mark(axes, early[early["observation_space"] == space])
        _zoom(axes, shown[shown["observation_space"] == space])
    legend_beside(grid.figure, colours)
    x = f"training step{'' if early.empty else ' (x: a run stopped early)'}"
    note = grey_note(of_runs, named)
    return with_titles(grid, f"{x}{note}", "validation ELBO at beta = 1 (nats)")


def _draw(axes: Any, means: pd.DataFrame, colour: Any) -> None:
    """Draw one variant's mean with its interval; in grey and without, where it has no colour."""
    if colour is None:
        axes.plot(means["step"], means["mean"], **GREY)
        return
    axes.plot(means["step"], means["mean"], color=colour)
    axes.fill_between(
        means["step"], means["low"], means["high"], color=colour, alpha=0.2, linewidth=0
    )


def _of_runs(points: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The points of the curves with the names of their runs, as categories: there are millions."""
    names = runs.set_index("run")[["observation_space", "label"]].astype("category")
    columns = ["run", "step", "valid_elbo_nats"]
    return points[columns].join(names, on="run").astype({"run": "category"})


def _means(points: pd.DataFrame) -> pd.DataFrame:
    """The mean of each variant at each step with its 95% interval, as `_interval` has it."""
    names = ["observation_space", "label"]
    by = points.groupby([*names, "step"], observed=True)["valid_elbo_nats"]
    table = by.agg(["mean", "std", "count"]).reset_index().astype(dict.fromkeys(names, "str"))
    half = half_width(table["std"], table["count"].clip(lower=2))
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def _early_ends(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The last points of the runs that stopped early."""
    early = runs.loc[runs["steps"] < runs["num_steps"], "run"]
    points = curves[curves["run"].isin(early)]
    last = points.groupby("run", observed=True)["step"].transform("max")
    return points[points["step"] == last]


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
    best = shown.groupby("label", observed=True)["valid_elbo_nats"].max()
    if below := [str(label) for label, value in best.items() if value < bottom]:
        note = f"below: {some_of(below, MOST_BELOW)}"
        axes.text(0.98, 0.02, note, ha="right", fontsize="small", transform=axes.transAxes)
