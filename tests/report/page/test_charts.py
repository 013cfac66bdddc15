"""Static charts are made smaller without a change to their words, and only of few points."""

import altair as alt
import pandas as pd
import pytest

from vaebench.report.page.charts import MOST_STATIC, _short, charts, companions, variants
from vaebench.report.page.points import PLACE, Points


def test_coordinates_are_shortened_and_labels_are_not():
    svg = (
        '<g transform="translate(10.12345,0.5)"><path d="M0.125,1.98765L3,4"/>'
        '<text opacity="0.125">0.125</text><text>mine=0.0012345</text></g>'
    )
    assert _short(svg) == (
        '<g transform="translate(10.1,0.5)"><path d="M0.1,1.9L3,4"/>'
        '<text opacity="0.125">0.125</text><text>mine=0.0012345</text></g>'
    )


def static_forms(num, spaces=1):
    """The static form of a plane of so many points in each of some observation spaces."""
    runs = pd.DataFrame({PLACE: [v for v in range(spaces) for _ in range(num)], "seed": 0})
    runs = runs.assign(rate=1.0, distortion=2.0)
    names = [f"s{i}" for i in range(spaces)]
    variants = pd.DataFrame({"space": names, "name": "a", "colour": "a"})
    empty = dict.fromkeys(("curves", "costs", "dimensions", "layers", "units"), runs.iloc[:0])
    return [plane.svg for plane in charts(Points(variants, {**empty, "runs": runs}))]


def test_a_chart_of_too_many_points_has_no_static_form():
    assert static_forms(2)[0].startswith("<svg")
    assert static_forms(MOST_STATIC + 1) == [""]


def test_a_page_has_room_for_so_many_points_in_static_forms(monkeypatch):
    monkeypatch.setattr("vaebench.report.page.charts.MOST_STATIC_OF_PAGE", 5)
    assert [bool(svg) for svg in static_forms(2, spaces=3)] == [True, True, False]


@pytest.mark.parametrize("kind", [*variants.KINDS, *companions.KINDS], ids=lambda kind: kind.title)
def test_each_kind_is_as_vega_lite_wants_it(kind):
    kind.draw(alt.Color("colour:N", legend=None), [0.0, 1.0]).to_dict(validate=True)
