"""Static charts are made smaller without a change to their words."""

from vaebench.report.page.charts import _short


def test_coordinates_are_shortened_and_labels_are_not():
    svg = (
        '<g transform="translate(10.12345,0.5)"><path d="M0.125,1.98765L3,4"/>'
        '<text opacity="0.125">0.125</text><text>mine=0.0012345</text></g>'
    )
    assert _short(svg) == (
        '<g transform="translate(10.1,0.5)"><path d="M0.1,1.9L3,4"/>'
        '<text opacity="0.125">0.125</text><text>mine=0.0012345</text></g>'
    )
