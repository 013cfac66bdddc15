"""What a kind of chart is, and what the charts have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt

PICKED = "picked"
"""The signal that says which variant is picked on the page; null for none."""

Domain = list[float] | None
"""The ends of an axis; None: all values are shown."""
Draw = Callable[[alt.Color, Domain], Any]


def everything(points: Any) -> Domain:
    """No value is out of view."""
    return None


@dataclass(frozen=True)
class Kind:
    """A kind of chart: its points, what it shows in words, and how it is drawn."""

    points: str
    title: str
    words: str
    """How to read it, and when not to believe it."""
    draw: Draw
    reach: Callable[[Any], Domain] = everything
    """What of the vertical axis is shown of these points."""
    needs: tuple[str, ...] = ()
    """Columns that a point must have a value of to be drawn."""
    rows: str = ""
    """The column whose values are the rows of the chart, where it has rows."""


def chart_of(points: str) -> alt.Chart:
    """A chart of the points of that name, which the page holds."""
    return alt.Chart(alt.NamedData(points))


def faded(full: float) -> alt.OpacityValue:
    """The opacity of a variant: those other than the picked one are faint."""
    others = f"{PICKED} === null || datum.name === {PICKED}"
    return alt.OpacityValue(**alt.condition(others, alt.value(full), alt.value(0.08 * full)))


def tooltip(*columns: str) -> list[alt.Tooltip]:
    """What is said of a point under the pointer. As channels: Altair takes ten times as long over
    words that it must make channels of."""
    return [alt.Tooltip(column) for column in columns]


def axis_of(name: str, title: str) -> dict[str, Any]:
    """Arguments of a channel of numbers, whose axis need not begin at 0."""
    return {"shorthand": f"{name}:Q", "title": title, "scale": alt.Scale(zero=False)}
