"""Ratios to the fastest -> the figure of performance profiles."""

from __future__ import annotations

import textwrap

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from vaebench.report.lettering import lettered
from vaebench.report.panels import HEIGHT, LABEL_WIDTH, MOST_COLOURS
from vaebench.report.time_to_target import MOST_RATIO, profile


def performance_profile(profiles: pd.DataFrame) -> Figure:
    """Draw the share of observation spaces that a variant reaches the target of within tau times
    what the fastest takes, by each measure: see `time_to_target.performance_profiles`."""
    scores = profiles.groupby("label")["score"].mean().sort_values(ascending=False, kind="stable")
    named = list(map(str, scores.index[:MOST_COLOURS]))
    letters = lettered(named)
    tau = np.linspace(1.0, MOST_RATIO, 301)
    lines = [
        pd.DataFrame({"tau": tau, "rho": profile(part["ratio"].to_numpy(), tau)}).assign(
            label=textwrap.fill(letters[str(label)], LABEL_WIDTH), measure=str(measure)
        )
        for (measure, label), part in profiles.groupby(["measure", "label"], sort=False)
        if label in named
    ]
    grid = sns.FacetGrid(pd.concat(lines), col="measure", hue="label", height=HEIGHT)
    grid.map(plt.step, "tau", "rho", where="post", alpha=0.8)
    grid.set(ylim=(-0.02, 1.02)).add_legend(title="variant")
    grid.set_titles("{col_name}")
    grid.set_axis_labels("tau: times what the fastest takes", "share of observation spaces")
    figure: Figure = grid.figure
    return figure
