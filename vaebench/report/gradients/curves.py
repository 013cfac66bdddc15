"""Curves that carry their own names: what the panels of a gradient figure are drawn with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito 2008 without its yellow, which is faint on white: told apart by the colour-blind."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h")
SAME = 2e-3
"""Curves that differ by less than this share everywhere are one estimator by other names."""
SEEN = 2.0
"""Standard errors from 0 below which a number is drawn hollow."""
NAMES_WIDTH = 26
LINE_HEIGHT = 0.125
"""Height of a line of a label, in inches."""


@dataclass(frozen=True)
class Curve:
    """One curve of a panel, and how it looks everywhere."""

    names: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float, ...]
    """Standard errors of y."""
    colour: str
    marker: str
    dashes: str

    @property
    def label(self) -> str:
        """The names, a few to a line."""
        text, width = "", 0
        for i, name in enumerate(self.names):
            new_line = i > 0 and width + len(name) > NAMES_WIDTH
            text += ("" if i == 0 else ",\n" if new_line else ", ") + name
            width = len(name) if new_line or i == 0 else width + len(name) + 2
        return text

    def covers(self, other: Curve) -> bool:
        """Whether the other curve lies on this one wherever it has a point."""
        by_x = dict(zip(self.x, self.y, strict=True))
        if not by_x.keys() >= set(other.x):
            return False
        return bool(np.allclose(other.y, [by_x[x] for x in other.x], rtol=SAME, atol=0.0))


def curves_of(part: pd.DataFrame, names: dict[str, str], x: str, y: str) -> list[Curve]:
    """Make a curve per variant, in the order of `names`; those that agree share one."""
    curves: list[Curve] = []
    for index, (variant, name) in enumerate(names.items()):
        points = part[part["variant"] == variant].sort_values(x)
        if points.empty:
            continue
        curve = Curve(
            (name,),
            tuple(points[x]),
            tuple(points[y]),
            tuple(points["standard_error"].fillna(0.0)),
            COLOURS[index % len(COLOURS)],
            MARKERS[index % len(MARKERS)],
            "-" if index < len(COLOURS) else "--",
        )
        host = next((i for i, other in enumerate(curves) if other.covers(curve)), None)
        if host is None:
            curves.append(curve)
        else:
            curves[host] = replace(curves[host], names=(*curves[host].names, name))
    return curves


def plot(axes: Any, drawn: Sequence[Curve], *, markers: bool = True) -> None:
    """Draw log-log curves with bars of a standard error, and their names at the right."""
    axes.set_yscale("log")
    for curve in drawn:
        axes.plot(curve.x, curve.y, curve.dashes, color=curve.colour, lw=1.3)
    low, high = axes.get_ylim()
    for curve in drawn if markers else ():
        for x, y, error in zip(curve.x, curve.y, curve.error, strict=True):
            face = curve.colour if y > SEEN * error else "white"
            axes.plot(x, y, marker=curve.marker, ms=4.5, color=curve.colour, mfc=face, mew=0.8)
            ends = [max(y - error, low), min(y + error, high)]
            axes.plot([x, x], ends, color=curve.colour, lw=0.8)
    axes.set_ylim(low, high)
    ticks(axes.yaxis, low, high)
    _name_ends(axes, drawn)


def ticks(axis: Any, low: float, high: float) -> None:
    """Mark powers of ten, with numbers between where these are few; written as 0.02, 300, 40k."""
    decades = math.log10(high / low)
    kept = range(1, 10) if decades < 0.7 else (1, 2, 5) if decades < 2.5 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, round(decades / 6)) if decades >= 2.5 else 1
    places = [m * 10.0**p for p in powers if p % step == 0 for m in kept]
    axis.set_major_locator(FixedLocator([v for v in places if low <= v <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(plainly())


def plainly() -> Any:
    """A formatter that writes numbers without powers of ten."""

    def text(value: float, position: int | None = None) -> str:
        for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:g}{letter}"
        return f"{value:g}"

    return FuncFormatter(text)


def _name_ends(axes: Any, drawn: Sequence[Curve]) -> None:
    """Write each curve's name beside its end, moved apart where they would overlap."""
    height = axes.get_position().height * axes.figure.get_size_inches()[1]
    low, high = map(math.log, axes.get_ylim())
    ends = [(math.log(curve.y[-1]) - low) / (high - low) for curve in drawn]
    sizes = [LINE_HEIGHT * (1 + curve.label.count("\n")) / height for curve in drawn]
    for curve, place in zip(drawn, spread(ends, sizes), strict=True):
        axes.annotate(
            curve.label,
            xy=(curve.x[-1], curve.y[-1]),
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=7,
            linespacing=1.0,
            color=curve.colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": curve.colour,
                "lw": 0.5,
                "relpos": (0.0, 0.5),
                "shrinkA": 0,
                "shrinkB": 3,
            },
        )


def spread(centres: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Move boxes of these centres in [0, 1] apart, by as little as a few rounds can.

    What overlaps after them is moved up, and then down from the top: more boxes than there is room
    for end below 0.
    """
    order = sorted(range(len(centres)), key=lambda i: centres[i])
    placed = [centres[i] for i in order]
    gaps = [0.5 * (sizes[a] + sizes[b]) for a, b in itertools.pairwise(order)]
    for _ in range(300):
        for i, gap in enumerate(gaps):
            overlap = max(0.0, gap - (placed[i + 1] - placed[i]))
            placed[i] -= overlap / 2
            placed[i + 1] += overlap / 2
        placed = [min(1.0, max(0.0, place)) for place in placed]
    for i, gap in enumerate(gaps):
        placed[i + 1] = max(placed[i + 1], placed[i] + gap)
    placed[-1:] = [min(1.0, place) for place in placed[-1:]]
    for i, gap in reversed([*enumerate(gaps)]):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    return [placed[order.index(i)] for i in range(len(centres))]
