"""The charts of the page, as Vega-Lite: each names its points, which the page holds once."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from vaebench.report.page.points import GREY, Points

HEIGHT, STATIC_WIDTH = 300, 640
"""Pixels; charts are as wide as the page, their static form is not."""
PICKED = "picked"
"""The signal that says which variant is picked on the page; null for none."""
CONFIG = {"view": {"stroke": None}, "axis": {"labelLimit": 200}}

SILENT = {"mark": {"aria": False}}
"""A static chart says what it shows in its caption, not at each of its points."""
PLACES = re.compile(r' (?:d|transform)="[^"]*"')
LONG = re.compile(r"(\d\.\d)\d{2,}")

Domain = list[float] | None
"""The ends of an axis; None: all values are shown."""
Draw = Callable[[alt.Color, Domain], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of chart: its points, what it shows in words, and how it is drawn."""

    points: str
    title: str
    words: str
    draw: Draw
    reach: Callable[[Any], Domain]
    """What of the vertical axis is shown of these points."""


@dataclass(frozen=True)
class Drawn:
    """A chart of one observation space."""

    space: str
    kind: Kind
    note: str
    """How many variants are out of view, in words."""
    spec: str
    """Vega-Lite as JSON, its points left out."""
    svg: str
    """The same without a script."""


def charts(points: Points) -> list[Drawn]:
    """All charts that there are points for, by observation space."""
    spaces = sorted(points.variants["space"].unique())
    return [
        _drawn(points, space, kind)
        for space in spaces
        for kind in KINDS
        if len(points.of_space(kind.points, space))
    ]


@functools.cache
def bundle() -> str:
    """The scripts of Vega, once for all charts."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _drawn(points: Points, space: str, kind: Kind) -> Drawn:
    shown = points.of_space(kind.points, space)
    domain = kind.reach(shown)
    spec = kind.draw(_colour(points.colours(space)), domain).to_dict()
    for absent in ("$schema", "config"):
        spec.pop(absent, None)
    fixed = spec | {"width": STATIC_WIDTH, "datasets": {kind.points: _records(shown)}}
    svg = _short(vl_convert.vegalite_to_svg(fixed | {"config": CONFIG | SILENT}))
    return Drawn(space, kind, _note(shown, domain), json.dumps(spec | {"width": "container"}), svg)


def _short(svg: str) -> str:
    """An image whose coordinates have one decimal: no eye sees more, and they are most of it.

    Words and the labels of axes stay as they are.
    """
    return PLACES.sub(lambda places: LONG.sub(r"\1", places[0]), svg)


def _above(points: Any) -> Domain:
    """The learning curves but for the far tail, where one without a rate term hides the rest."""
    low, middle, high = points["mean"].quantile([0.05, 0.5, 1.0])
    margin = max(high - middle, 0.05 * abs(middle))
    return [float(max(low, middle - 4.0 * margin)), float(high + 0.1 * margin)]


def _below(points: Any) -> Domain:
    """The NLLs but for those of which the distance to the best hides the rest."""
    least, middle = points["nll"].min(), points["nll"].median()
    margin = max(middle - least, 0.02 * abs(middle))
    return [float(least - 0.2 * margin), float(min(points["nll"].max(), middle + 4.0 * margin))]


def _everything(points: Any) -> Domain:
    return None


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


def _faded(full: float) -> Any:
    """Variants other than the picked one are faint."""
    others = f"{PICKED} === null || datum.name === {PICKED}"
    return alt.condition(others, alt.value(full), alt.value(0.08 * full))


def _chart(points: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(points), height=HEIGHT)


def _with_pick(chart: Any) -> Any:
    return chart.add_params(alt.param(name=PICKED, value=None))


def _learning(colour: alt.Color, domain: Domain) -> Any:
    base = _chart("curves").encode(
        x=alt.X("step:Q", title="training step"), color=colour, detail="name:N"
    )
    elbo = alt.Scale(zero=False, domain=domain or alt.Undefined)
    band = base.mark_area(clip=True).encode(
        y=alt.Y("low:Q", scale=elbo, title="validation ELBO (nats)"),
        y2="high:Q",
        opacity=_faded(0.2),
    )
    line = base.mark_line(clip=True).encode(
        y=alt.Y("mean:Q", scale=elbo),
        opacity=_faded(1.0),
        tooltip=["name:N", "step:Q", "mean:Q", "low:Q", "high:Q"],
    )
    return _with_pick(alt.layer(band, line))


def _plane(colour: alt.Color, domain: Domain) -> Any:
    logarithmic = alt.Scale(type="symlog", constant=1)
    points = _chart("runs").mark_circle(size=60)
    return _with_pick(
        points.encode(
            x=alt.X("rate:Q", scale=logarithmic, title="rate (nats, logarithmic from 1)"),
            y=alt.Y("distortion:Q", scale=alt.Scale(zero=False), title="distortion (nats)"),
            color=colour,
            opacity=_faded(0.8),
            tooltip=["name:N", "seed:Q", "rate:Q", "distortion:Q", "nll:Q"],
        )
    )


def _cost(colour: alt.Color, domain: Domain) -> Any:
    base = _chart("costs").encode(
        x=alt.X("step_ms:Q", scale=alt.Scale(zero=False), title="time of a training step (ms)"),
        y=alt.Y(
            "nll:Q", scale=alt.Scale(zero=False, domain=domain or alt.Undefined), title="NLL (nats)"
        ),
    )
    front = base.transform_filter("datum.front === 1").mark_line(
        interpolate="step-after", color=GREY, strokeDash=[4, 3], clip=True
    )
    dots = base.mark_circle(size=90, clip=True).encode(
        color=colour, opacity=_faded(1.0), tooltip=["name:N", "step_ms:Q", "nll:Q"]
    )
    return _with_pick(alt.layer(front, dots))


def _dimensions(colour: alt.Color, domain: Domain) -> Any:
    line = _chart("dimensions").mark_line(point=True)
    return _with_pick(
        line.encode(
            x=alt.X("dimension:O", title="dimension of the code, the largest rate first"),
            y=alt.Y("rate:Q", scale=alt.Scale(type="symlog", constant=0.1), title="rate (nats)"),
            color=colour,
            detail="name:N",
            opacity=_faded(1.0),
            tooltip=["name:N", "dimension:O", "rate:Q"],
        )
    )


KINDS = (
    Kind(
        "curves",
        "Learning curves",
        "The ELBO at beta = 1 on validation data while training: the mean over seeds and its 95% "
        "interval. Higher is better.",
        _learning,
        _above,
    ),
    Kind(
        "runs",
        "Rate against distortion",
        "What the code costs against what the reconstruction loses, a point for each run. Their "
        "sum is minus the ELBO: lower left is better.",
        _plane,
        _everything,
    ),
    Kind(
        "costs",
        "Quality against cost",
        "Held-out NLL against the time of a training step, by the last timing pass. The dashed "
        "line joins the variants that no other beats in both.",
        _cost,
        _below,
    ),
    Kind(
        "dimensions",
        "Rate of each dimension",
        "How much each dimension of the code carries, the mean over seeds. A dimension near 0 is "
        "not used.",
        _dimensions,
        _everything,
    ),
)
