"""Static charts are made smaller without a change to their words, and only of few points."""

import pandas as pd

from vaebench.report.page.charts import MOST_STATIC, _short, charts
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


def test_a_chart_of_too_many_points_has_no_static_form():
    def svg(num):
        runs = pd.DataFrame({PLACE: 0, "seed": 0, "rate": [1.0] * num, "distortion": 2.0})
        variants = pd.DataFrame({"space": ["s"], "name": ["a"], "colour": ["a"]})
        empty = dict.fromkeys(("curves", "costs", "dimensions", "layers", "units"), runs.iloc[:0])
        (plane,) = charts(Points(variants, {**empty, "runs": runs}))
        return plane.svg

    assert svg(2).startswith("<svg")
    assert svg(MOST_STATIC + 1) == ""
