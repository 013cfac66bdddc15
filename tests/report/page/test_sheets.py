"""How exhibits are drawn: every pixel, line and point in its place."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from vaebench.core.tiles import GAP
from vaebench.report.page.sheets import HEIGHT, MARGIN, WIDTH, columns, lines, parts
from vaebench.results import About, Exhibit


def exhibit(x, form="images", *row_names, name="e"):
    return Exhibit(About(name=name, caption="c", form=form, row_names=row_names), x)


def pixels(part):
    assert part.image.startswith("data:image/png;base64,")
    content = base64.b64decode(part.image.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("channels", [1, 3])
def test_named_rows_are_strips_and_others_one_sheet(channels):
    x = np.arange(2 * 3 * 2 * 2 * channels, dtype=np.uint8).reshape(2, 3, 2, 2, channels)
    strips = parts(exhibit(x, "images", "above", "below"))
    assert [part.label for part in strips] == ["above", "below"]
    for row, part in zip(x, strips, strict=True):
        drawn = pixels(part).reshape(2, 8, channels)
        for i, image in enumerate(row):
            assert np.array_equal(drawn[:, 3 * i : 3 * i + 2], image)
        assert (drawn[:, 2::3] == GAP).all()
    (sheet,) = parts(exhibit(x))
    assert pixels(sheet).shape[:2] == (5, 8) and sheet.label == ""


def points_of(svg):
    return [
        [tuple(map(float, point.split(","))) for point in line.split()]
        for line in re.findall(r'points="([^"]*)"', svg)
    ]


def test_a_line_goes_from_edge_to_edge_of_its_panel_and_the_last_is_in_front():
    svg = lines(np.array([[[0.0, 1.0, 2.0], [2.0, 2.0, 0.0]]]))
    back, front = points_of(svg)
    left, middle, right = MARGIN, WIDTH / 2, WIDTH - MARGIN
    top, bottom = MARGIN, HEIGHT - MARGIN
    assert back == [(left, bottom), (middle, HEIGHT / 2), (right, top)]
    assert front == [(left, top), (middle, top), (right, bottom)]
    assert svg.index('class="back"') < svg.index('class="front"')


def test_points_that_are_not_finite_are_left_out():
    whole, part, nothing = points_of(
        lines(np.array([[[0.0, 1.0, 2.0], [0.0, np.nan, 2.0], [np.inf, np.nan, -np.inf]]]))
    )
    assert part == [whole[0], whole[2]] and nothing == []
    assert "nan" not in lines(np.full((1, 1, 3), np.nan))


def test_examples_are_panels_of_original_and_reconstruction():
    x = np.zeros((2, 5, 4), np.float32)
    (part,) = parts(exhibit(x, "lines", "original", "reconstruction"))
    assert part.svg.count("<svg") == 5 and part.svg.count("<polyline") == 10
    (part,) = parts(exhibit(x, "lines"))
    assert part.svg.count("<svg") == 2, "without names a row is a panel"


def test_a_column_of_data_and_model_alike_is_on_the_diagonal_and_one_above_is_above():
    svg = columns(np.array([[[0.0, 1.0, 0.5], [0.0, 1.0, 1.0]]]), ["mean"])
    dots = re.findall(r'cx="([^"]*)" cy="([^"]*)"', svg)
    first, last, above = [tuple(map(float, dot)) for dot in dots]
    assert first == (MARGIN, WIDTH - MARGIN) and last == (WIDTH - MARGIN, MARGIN)
    assert above == (WIDTH / 2, MARGIN)


def test_figures_of_many_sizes_have_a_logarithmic_axis_which_is_said():
    svg = columns(np.array([[[1.0, 10.0, 100.0], [1.0, 10.0, 100.0]]]), ["a <b>"])
    assert "logarithmic" in svg and "1 to 100" in svg
    places = [float(x) for x in re.findall(r'cx="([^"]*)"', svg)]
    assert places == pytest.approx([MARGIN, WIDTH / 2, WIDTH - MARGIN])
    assert "<b>" not in svg and "&lt;b&gt;" in svg


def test_nothing_known_is_said():
    assert "nothing to show" in columns(np.full((1, 2, 3), np.nan), ["mean"])
    assert points_of(lines(np.zeros((1, 1, 2)))) == [[(MARGIN, 52.0), (WIDTH - MARGIN, 52.0)]]
