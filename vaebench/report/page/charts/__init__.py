"""The charts of the page, as Vega-Lite: each names its points, which the page holds once.

kind.py       what a kind of chart is
variants.py   those of the variants of an observation space
companions.py those of what else was measured, and of all observation spaces at once
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from vaebench.report.page.charts import companions, variants
from vaebench.report.page.charts.kind import PICKED, Domain, Kind
from vaebench.report.page.points import PALETTE, Points

STATIC_WIDTH = 640
"""Pixels; charts are as wide as the page, their static form is not."""
MOST_STATIC, MOST_STATIC_OF_PAGE = 3_000, 10_000
"""Points of a chart that has a static form, and of all these in the observation spaces of a page:
with more they would outweigh the rest."""
HEIGHT, ROW = 260, 20
"""Pixels of a chart without its axes; of each row of one with rows."""
CONFIG = {
    "view": {"stroke": None},
    "axis": {"labelLimit": 200, "labelOverlap": "greedy"},
    "legend": {"labelLimit": 320},
}
AS_WIDE_AS_THE_PAGE = {
    "width": "container",
    "autosize": {"type": "fit-x", "contains": "padding"},
}
SILENT = {"mark": {"aria": False}}
"""A static chart says what it shows in its caption, not at each of its points."""
PLACES = re.compile(r' (?:d|transform)="[^"]*"')
LONG = re.compile(r"(\d\.\d)\d{2,}")


@dataclass(frozen=True)
class Drawn:
    """A chart of one observation space; of all, where that is ""."""

    space: str
    kind: Kind
    note: str
    """How many variants are out of view, in words."""
    spec: str
    """Vega-Lite as JSON, its points left out."""
    svg: str
    """The same without a script; "" where there is no room for its points."""


def charts(points: Points) -> list[Drawn]:
    """The charts of the variants that there are points for, by observation space."""
    drawn: list[Drawn] = []
    room = MOST_STATIC_OF_PAGE
    for space in sorted(points.variants["space"].unique()):
        colour = _colour(points.colours(space))
        for kind in variants.KINDS:
            if num := len(shown := _known(points.of_space(kind.points, space), kind)):
                drawn.append(_drawn(space, kind, shown, colour, room))
                room -= num if drawn[-1].svg else 0
    return drawn


def other_charts(points: Points) -> list[Drawn]:
    """The charts of what else was measured, and of all observation spaces at once."""
    return [
        _drawn("", kind, shown, _labelled(shown), MOST_STATIC)
        for kind in companions.KINDS
        if kind.points in points.others
        if len(shown := _known(points.others[kind.points], kind))
    ]


@functools.cache
def bundle() -> str:
    """The scripts of Vega, once for all charts."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _known(points: Any, kind: Kind) -> Any:
    """The points that have a value of all that the chart needs; none where it lacks a column."""
    if not set(kind.needs) <= set(points):
        return points.iloc[:0]
    return points.dropna(subset=list(kind.needs))


def _drawn(space: str, kind: Kind, shown: Any, colour: alt.Color, room: int) -> Drawn:
    """The chart; `room`: points for which the page has room in static forms."""
    domain = kind.reach(shown)
    # Altair checks in longer than it draws; a test checks each kind.
    spec = kind.draw(colour, domain).to_dict(validate=False) | {
        "params": [{"name": PICKED, "value": None}]
    }
    spec["height"] = ROW * shown[kind.rows].nunique() if kind.rows else HEIGHT
    for absent in ("$schema", "config"):
        spec.pop(absent, None)
    svg = _static(spec, kind.points, shown) if len(shown) <= min(MOST_STATIC, room) else ""
    return Drawn(space, kind, _note(shown, domain), json.dumps(spec | AS_WIDE_AS_THE_PAGE), svg)


def _static(spec: Mapping[str, Any], name: str, points: Any) -> str:
    """The chart of the points of that name as SVG."""
    fixed = {**spec, "width": STATIC_WIDTH, "datasets": {name: _records(points)}}
    return _short(vl_convert.vegalite_to_svg(fixed | {"config": CONFIG | SILENT}))


def _short(svg: str) -> str:
    """An image whose coordinates have one decimal: no eye sees more, and they are most of it.

    Words and the labels of axes stay as they are.
    """
    return PLACES.sub(lambda places: LONG.sub(r"\1", places[0]), svg)


def _note(points: Any, domain: Domain) -> str:
    """How many variants have no value within the domain."""
    if domain is None:
        return ""
    values = points["mean" if "mean" in points else "nll"]
    inside = points.loc[values.between(*domain), "name"].nunique()
    num = points["name"].nunique() - inside
    return f"{num} variant{'s are' if num > 1 else ' is'} out of view." if num else ""


def _records(table: Any) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))


def _colour(colours: Mapping[str, str]) -> alt.Color:
    """The colours of the variants; the page says once which is whose."""
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("colour:N", scale=scale, legend=None)


def _labelled(points: Any) -> alt.Color:
    """A colour for each label, in the order of the points, with a legend below."""
    labels = list(dict.fromkeys(points["label"]))
    scale = alt.Scale(domain=labels, range=list(PALETTE))
    legend = alt.Legend(
        orient="bottom", columns=1, title=None, symbolLimit=len(PALETTE), symbolOpacity=1
    )
    return alt.Color("label:N", scale=scale, legend=legend)
