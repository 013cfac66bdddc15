"""Room in a figure: which variants get a name, a row or a colour, and in what order they stand."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vaebench.report.labels import display_names
from vaebench.report.lettering import lettered
from vaebench.report.room import MOST_ROWS

GREY: dict[str, Any] = {"color": "0.8", "linewidth": 0.8, "zorder": 0}
"""The look of the variants that have no name in a figure."""
HEIGHT = 3.6
"""Inches of a panel, at least."""
LINE_HEIGHT = 0.25
"""Inches of a line of a label, at least."""
LABEL_WIDTH = 40
"""Characters of a line of a label."""
LEGEND_LINE, SLIM = 0.24, 0.7
"""Inches of a line of a legend; the width of a high panel, as a share of its height."""
MOST_COLOURS, MOST_LINES = 20, 36
"""Variants that a legend names, and lines of a label that it has: the best; others are grey."""


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Add a column `label`: the name that the tables give to a row's variant, broken into lines
    that leave room for the figure."""
    parts = [
        part.assign(label=display_names(part))
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


def best_labels(scored: pd.DataFrame) -> list[str]:
    """The labels that a legend has room for."""
    places = _places(scored).groupby(level=1).min().sort_values(kind="stable")
    labels = [str(label) for label in places.index]
    lines = itertools.accumulate(label.count("\n") + 1 for label in labels)
    fitting = sum(num <= MOST_LINES for num in lines)
    return labels[: max(1, min(MOST_COLOURS, fitting))]


def note_below(figure: Figure, note: str) -> None:
    """Write a note below all that is drawn; an image that is cut to that has room."""
    drawn = figure.get_tightbbox()  # in inches
    middle, below = (drawn.x0 + drawn.x1) / 2.0, drawn.y0 - LINE_HEIGHT / 2.0
    width, height = figure.get_size_inches()
    figure.text(middle / width, below / height, note, ha="center", va="top")


def grey_note(every: pd.DataFrame, named: Sequence[str]) -> str:
    """How many variants are grey, in words for the label of an axis."""
    num = every["label"].nunique() - len(named)
    return f"\ngrey: {num} other{'s' if num > 1 else ''}" if num else ""


def best_rows(scored: pd.DataFrame) -> pd.DataFrame:
    """The rows of the best labels of each observation space."""
    places = _places(scored)
    best = places[places <= MOST_ROWS].index
    return scored[pd.MultiIndex.from_frame(scored[list(best.names)]).isin(best)]


def left_out_note(every: pd.DataFrame, shown: pd.DataFrame) -> str:
    """How many variants are not shown, in words for the label of an axis."""
    num = most_labels(every)
    return f"\nthe best {MOST_ROWS} of {num}" if len(every) > len(shown) else ""


def most_labels(named: pd.DataFrame) -> int:
    """The number of labels of the observation space that has the most."""
    return int(named.groupby("observation_space")["label"].nunique().max())


def label_height(named: pd.DataFrame) -> float:
    """Inches that each label needs, so that none covers the next."""
    return LINE_HEIGHT * float(named["label"].str.count("\n").max() + 1)


def configured(rows: pd.DataFrame) -> list[str]:
    """The columns of the rows that hold what their runs were configured with."""
    plain = ("objective", "num_samples", "rate_weight")
    return [name for name in rows.columns if name in plain or "." in name]


def panels_beside(rows: pd.DataFrame, named: Sequence[str], **options: Any) -> Any:
    """A seaborn grid of a panel for each observation space, in an order that does not depend on
    that of the rows; panels are as high as the legend of those that it names."""
    height = max(HEIGHT, LEGEND_LINE * sum(label.count("\n") + 1 for label in named))
    return sns.FacetGrid(
        rows,
        col="observation_space",
        col_order=sorted(rows["observation_space"].unique()),
        height=height,
        aspect=max(HEIGHT, SLIM * height) / height,
        sharey=False,
        **options,
    )


def colours_of(rows: pd.DataFrame, named: Sequence[str]) -> dict[str, Any]:
    """A colour for each of the named variants, which stand by objective, K and hyperparameters."""
    ordered = [label for label in _by_configuration(rows) if label in set(named)]
    few = len(ordered) <= len(sns.color_palette())
    palette = sns.color_palette(None if few else "husl", len(ordered))
    return dict(zip(ordered, palette, strict=True))


def legend_beside(figure: Figure, colours: Mapping[str, Any], **style: Any) -> None:
    """Name the colours to the right of the figure.

    Seaborn would draw the whole figure twice to make room; an image that is cut to what is drawn
    has room.
    """
    handles = [
        Line2D([], [], color=colour, label=name, **style) for name, colour in colours.items()
    ]
    figure.legend(
        handles=handles,
        title="variant",
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )


def _by_configuration(rows: pd.DataFrame) -> list[str]:
    """The labels in the order of the configurations of their runs, numbers as numbers."""
    columns = configured(rows)
    columns = sorted(columns, key=lambda name: (not name.startswith("objective"), name))
    by = [*columns, "label"]
    order = rows[by].drop_duplicates().sort_values(by, na_position="first")
    return [str(label) for label in order["label"].unique()]


def with_titles(grid: Any, x: str, y: str, facet: str = "col") -> Figure:
    """Name the axes of a seaborn grid and its panels; `facet` is what these stand along."""
    grid.set_axis_labels(x, y).set_titles(f"{{{facet}_name}}")
    figure: Figure = grid.figure
    return figure
