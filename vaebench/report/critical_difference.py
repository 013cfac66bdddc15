"""Mean ranks -> the critical-difference diagram."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from vaebench.report.across_spaces import BlockRanks
from vaebench.report.labels import some_of
from vaebench.report.lettering import lettered
from vaebench.report.statistics.ranks import MeanRanks
from vaebench.report.verdicts import Verdict, verdict

WIDTH, LINE_HEIGHT = 6.0, 0.24
"""In inches."""
BETWEEN_BARS = 8.0
"""In points."""
TITLE_WIDTH = 90
"""Characters of a line of the title."""
MOST_LEFT_OUT = 3
"""Variants without a place in the diagram that the title names."""


def critical_difference(ranked: BlockRanks) -> Figure:
    """Draw variants at their mean ranks, best on top. The bars beside the names join those that
    Nemenyi's test does not tell apart (Demsar 2006, section 3.2.4); the title names the variants
    that have no place for want of a block."""
    names, mean = ranked.names, ranked.mean
    letters = lettered([*names, *ranked.left_out])
    order = np.argsort(mean.ranks, kind="stable")
    ranks = mean.ranks[order]
    bars = not_told_apart(ranks, mean)
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
    axes.set_title(_title(ranked, letters), fontsize="medium", loc="left")
    return figure


def not_told_apart(ranks: NDArray[np.float64], mean: MeanRanks) -> list[tuple[int, int]]:
    """First and last of each set of sorted ranks that are not told apart from its first; of sets
    of two and more, those that no other holds."""

    def reach(first: int) -> int:
        """The last that is not told apart from `first`, the next of which is."""
        last = first
        while last + 1 < len(ranks) and _verdict(ranks[last + 1] - ranks[first], mean) == (
            Verdict.NOT_TOLD_APART
        ):
            last += 1
        return last

    lasts = [reach(first) for first in range(len(ranks))]
    return [
        (first, last)
        for first, last in enumerate(lasts)
        if last > first and (first == 0 or last > lasts[first - 1])
    ]


def _verdict(difference: float, mean: MeanRanks) -> Verdict:
    """What a difference of two mean ranks shows: Nemenyi's interval allows for all pairs."""
    reach = mean.critical_difference
    return verdict(difference - reach, difference + reach, num=mean.num_blocks)


def _title(ranked: BlockRanks, letters: Mapping[str, str]) -> str:
    """What the ranks rest on, and which variants have none."""
    mean = ranked.mean
    title = (
        f"{mean.num_blocks} blocks (observation space x seed), critical difference "
        f"{mean.critical_difference:.2f}; Friedman p = {mean.p:.2g}"
    )
    if not ranked.left_out:
        return title
    names = some_of([letters[name] for name in ranked.left_out], MOST_LEFT_OUT)
    return f"{title}\n{textwrap.fill(f'left out, as they lack a block: {names}', TITLE_WIDTH)}"
