"""How an exhibit of a run is drawn: images as PNG, lines and figures of columns as SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vaebench.core.shown import plain
from vaebench.core.tiles import png, side_by_side
from vaebench.results import Exhibit

WIDTH, HEIGHT, MARGIN = 120, 56, 4
"""Units of a panel of lines; that of a figure of columns is a square of this width."""
LOGARITHMIC = 30.0
"""The ratio of the largest to the least of positive figures from which an axis is logarithmic."""

Numbers = NDArray[Any]
NOTHING = Markup("")


@dataclass(frozen=True)
class Part:
    """A piece of an exhibit: all of it, or the row of that name."""

    label: str
    image: str = ""
    """A data URL."""
    svg: Markup = NOTHING

    @property
    def size(self) -> int:
        """Characters that it takes in the page."""
        return len(self.image) + len(self.svg)


def parts(exhibit: Exhibit) -> list[Part]:
    """The pieces of an exhibit. Images whose rows have names are in strips, which can be compared
    with those of other variants."""
    x, about = exhibit.x, exhibit.about
    if about.form == "lines":
        panels = x.swapaxes(0, 1) if about.row_names else x
        return [Part("", svg=lines(panels))]
    if about.form == "columns":
        return [Part("", svg=columns(x, about.row_names))]
    if about.row_names:
        rows = zip(about.row_names, x, strict=True)
        return [Part(name, image_url(png(side_by_side(row[None])))) for name, row in rows]
    return [Part("", image_url(png(side_by_side(x))))]


def key(exhibit: Exhibit) -> str:
    """Which line is what, in words; "" where no lines with names are drawn."""
    about = exhibit.about
    if about.form != "lines" or not about.row_names:
        return ""
    *behind, front = about.row_names
    return f" Grey, behind: {', '.join(behind)}; in front: {front}."


def image_url(content: bytes) -> str:
    """A PNG file as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def lines(x: Numbers) -> Markup:
    """Panels of lines [panels, lines, P], all to one scale, the last line of each in front; points
    that are not finite are left out."""
    finite = x[np.isfinite(x)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    across = np.linspace(MARGIN, WIDTH - MARGIN, x.shape[-1])
    upwards = _placed(x, low, high, HEIGHT)
    panels = [
        Markup('<svg class="panel" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(
            WIDTH, HEIGHT, NOTHING.join(_polyline(across, line, i, len(ys)) for i, line in ys)
        )
        for ys in (list(enumerate(panel)) for panel in upwards)
    ]
    return NOTHING.join(panels)


def _polyline(x: Numbers, y: Numbers, place: int, num: int) -> Markup:
    """A line, the fainter the further behind."""
    points = ((a, b) for a, b in zip(x, y, strict=True) if np.isfinite(b))
    joined = " ".join(f"{a:.4g},{b:.4g}" for a, b in points)
    strength = 0.25 + 0.75 * place / max(1, num - 1)
    kind = "front" if place == num - 1 else "back"
    return Markup('<polyline class="{}" opacity="{:.2g}" points="{}"/>').format(
        kind, strength, joined
    )


def columns(x: Numbers, names: Sequence[str]) -> Markup:
    """A square for each figure [figures, data and model, columns]: the data across, the model
    upwards, a point for each column, and the diagonal."""
    return NOTHING.join(
        _square(name, *of_both) for name, of_both in zip(names, x.astype(float), strict=True)
    )


def _square(name: str, data: Numbers, model: Numbers) -> Markup:
    known = np.isfinite(data) & np.isfinite(model)
    data, model = data[known], model[known]
    both = np.concatenate([data, model])
    if not len(both):
        return Markup('<figure class="square">{}: nothing to show</figure>').format(plain(name))
    low, high = float(both.min()), float(both.max())
    is_log = low > 0 and high > LOGARITHMIC * low
    if is_log:
        low, high, data, model = np.log(low), np.log(high), np.log(data), np.log(model)
    xs, ys = _placed(data, high, low, WIDTH), _placed(model, low, high, WIDTH)
    dots = NOTHING.join(
        Markup('<circle cx="{:.4g}" cy="{:.4g}" r="2.4"/>').format(a, b)
        for a, b in zip(xs, ys, strict=True)
    )
    ends = f"{both.min():.3g} to {both.max():.3g}{', logarithmic' if is_log else ''}"
    return Markup(
        '<figure class="square"><svg viewBox="0 0 {0} {0}" aria-hidden="true">'
        '<line x1="{1}" y1="{2}" x2="{2}" y2="{1}"/>{3}</svg>'
        "<figcaption>{4} <small>{5}</small></figcaption></figure>"
    ).format(WIDTH, MARGIN, WIDTH - MARGIN, dots, plain(name), ends)


def _placed(values: Numbers, low: float, high: float, size: float) -> Numbers:
    """Places of values along an axis from `low`, at its far end, to `high`."""
    share = (values - low) / ((high - low) or 1.0)
    placed: Numbers = size - MARGIN - share * (size - 2 * MARGIN)
    return placed
