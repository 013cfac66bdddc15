"""Mean ranks -> the critical-difference diagram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from vaebench.report.lettering import lettered
from vaebench.report.statistics.ranks import MeanRanks

WIDTH, LINE_HEIGHT = 6.0, 0.24
"""In inches."""
BETWEEN_BARS = 8.0
"""In points."""


def critical_difference(names: Sequence[str], found: MeanRanks) -> Figure:
    """Variants at their mean ranks, best on top; the bars beside the names join those that
    Nemenyi's test does not tell apart (Demsar 2006, section 3.2.4)."""
    letters = lettered(names)
    order = np.argsort(found.ranks, kind="stable")
    ranks = found.ranks[order]
    bars = joined(ranks, found.critical_difference)
    figure = Figure(figsize=(WIDTH, 1.2 + LINE_HEIGHT * len(names)))
    axes = figure.subplots()
    axes.set(xlabel="mean rank of NLL, 1 is best", yticks=[], ylim=(len(names) - 0.5, -0.7))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.plot(ranks, np.arange(len(names)), "o", color="C0", markersize=5)
    edge = ("axes fraction", "data")
    for y, i in enumerate(order):
        axes.axhline(y, color="0.92", zorder=0)
        offset = (BETWEEN_BARS * (len(bars) + 1), 0)
        axes.annotate(letters[names[i]], (1.0, y), offset, edge, "offset points", va="center")
    for column, (first, last) in enumerate(bars):
        right = ScaledTranslation(BETWEEN_BARS * (column + 0.5) / 72, 0, figure.dpi_scale_trans)
        beside = axes.get_yaxis_transform() + right
        axes.plot([1, 1], [first, last], "0.4", linewidth=3, transform=beside, clip_on=False)
    axes.set_title(
        f"{found.num_blocks} blocks (observation space x seed), critical difference "
        f"{found.critical_difference:.2f}; Friedman p = {found.p:.2g}",
        fontsize="medium",
        loc="left",
    )
    return figure


def joined(ranks: NDArray[np.float64], critical: float) -> list[tuple[int, int]]:
    """First and last of the sorted ranks that lie within a critical difference, the longest sets
    alone, of two and more."""
    lasts = np.searchsorted(ranks, ranks + critical, side="left") - 1
    return [
        (first, int(last))
        for first, last in enumerate(lasts)
        if last > first and (first == 0 or last > lasts[first - 1])
    ]
