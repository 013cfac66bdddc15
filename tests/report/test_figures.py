"""Figures of many variants, and of long names: the legend fits its panel, and what is left out is
said."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tests.report.test_comparison import SPACE, rows_of
from vaebench.report.figures import close, comparison, rate_distortion, throughput
from vaebench.report.gradients import figures as gradient_figures
from vaebench.report.gradients.curves import LINE_HEIGHT
from vaebench.report.learning_curves import learning_curves
from vaebench.report.panels import (
    HEIGHT,
    MOST_COLOURS,
    MOST_LINES,
    note_below,
)
from vaebench.report.room import MOST_IN_PANELS, MOST_ROWS, readable_spaces
from vaebench.report.standings import KEYS

LONG = "beta_elbo(beta=linear(start=0.0, stop={}, over=0.5)) K=5, rate weight cyclical, iaf, vamp"


def variants(num, long=False):
    return [LONG.format(i) if long else f"v{i}" for i in range(num)]


def test_a_figure_of_the_same_rows_is_the_same_figure():
    def places():
        figure = comparison(rows_of({"nll": {"a": [90.0, 91.0, 92.0], "b": [95.0, 95.0, 95.0]}}))
        offsets = [c.get_offsets().tolist() for c in figure.axes[0].collections]
        close(figure)
        return offsets

    np.random.seed(1)
    first, state = places(), np.random.get_state()[1].tolist()
    np.random.seed(1)
    assert state == np.random.get_state()[1].tolist(), "it is the user's, and stays"
    np.random.seed(2)
    assert places() == first


def curves_of(names):
    frames = [
        pd.DataFrame(
            {
                "run": f"run {i}",
                "observation_space": SPACE,
                "likelihood": "bernoulli",
                "variant": name,
                "settings": "a=1",
                "step": [10, 20],
                "valid_elbo_nats": [-200.0 - i, -100.0 - i],
                "steps": 20,
                "num_steps": 20,
            }
        )
        for i, name in enumerate(names)
    ]
    return pd.concat(frames, ignore_index=True)


def parts_of(names):
    values = {"rate": 5.0, "distortion": 80.0}
    rows = [
        rows_of({"nll": {name: [base + i] for i, name in enumerate(names)}}).assign(metric=metric)
        for metric, base in values.items()
    ]
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(
    ("num", "long"), [(2, False), (12, False), (64, False), (200, False), (40, True)]
)
@pytest.mark.parametrize(
    ("draw", "rows_of"), [(learning_curves, curves_of), (rate_distortion, parts_of)]
)
def test_a_legend_is_no_higher_than_its_panel(draw, rows_of, num, long):
    figure = draw(rows_of(variants(num, long)))
    figure.canvas.draw()
    (legend,) = figure.legends
    (axes,) = figure.axes
    texts = legend.get_texts()
    assert len(texts) == min(num, MOST_LINES // 3 if long else MOST_COLOURS)
    assert legend.get_window_extent().height <= 1.25 * figure.bbox.height
    assert figure.get_size_inches()[1] <= 3 * HEIGHT
    left_out = num - len(texts)
    assert (f"grey: {left_out} others" in axes.get_xlabel()) == (left_out > 0)
    close(figure)


def test_grey_are_those_behind():
    figure = learning_curves(curves_of(variants(30)))
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == set(variants(MOST_COLOURS))
    grey = [line for line in figure.axes[0].lines if line.get_color() == "0.8"]
    ends = sorted((line.get_ydata()[-1] for line in grey), reverse=True)
    assert ends == [-100.0 - i for i in range(MOST_COLOURS, 30)]
    close(figure)


@pytest.mark.parametrize("num", [12, 200])
def test_panels_of_rows_have_room_for_each_and_say_how_many_are_left_out(num):
    losses = rows_of({"nll": {name: [100.0 + i] for i, name in enumerate(variants(num))}})
    speeds = losses.assign(metric="examples_per_s", value=-losses["value"])
    for figure in (comparison(losses), throughput(speeds)):
        (axes,) = figure.axes
        shown = [text.get_text() for text in axes.get_yticklabels()]
        assert shown == variants(min(num, MOST_ROWS))
        assert (f"the best {MOST_ROWS} of {num}" in axes.get_xlabel()) == (num > MOST_ROWS)
        assert figure.get_size_inches()[1] >= 0.2 * len(shown)
        close(figure)


def test_an_axis_that_ends_before_10_has_numbers_beyond_1():
    figure = comparison(rows_of({"nll": {"a": [90.0, 90.1, 90.2], "b": [92.0, 94.0, 93.0]}}))
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert {2.0, 5.0} <= {tick for tick in axes.get_xticks() if low <= tick <= high}
    close(figure)


def test_names_beside_curves_do_not_overlap():
    names = variants(64)
    rows = pd.DataFrame(
        [
            {
                "step": 0.0,
                "variant": name,
                "objective": name,
                "side": side,
                "num_samples": k,
                "metric": "snr_vector",
                "value": float(k + i / 100),
                "standard_error": 0.1,
                "protocol": "",
                "status": "done",
            }
            for i, name in enumerate(names)
            for side in ("encoder", "decoder")
            for k in (1, 4)
        ]
    )
    figure = gradient_figures.signal_to_noise(rows)
    for axes in figure.axes:
        inches = axes.get_position().height * figure.get_size_inches()[1]
        places = sorted(inches * name.xyann[1] for name in axes.texts)
        assert len(places) == 64
        assert min(b - a for a, b in itertools.pairwise(places)) >= 0.999 * LINE_HEIGHT
        assert (places[0] >= 0, places[-1] <= inches) == (True, True)


def test_panels_without_room_are_left_out_and_one_is_always_drawn():
    lines = pd.DataFrame(
        [(f"s{s}", "bernoulli", f"v{v}", "") for s in range(9) for v in range(50)], columns=KEYS
    )
    assert readable_spaces(lines) == [f"s{s}" for s in range(MOST_IN_PANELS // 50)]
    few = lines[lines["variant"] < "v10"]  # v0 and v1
    assert len(readable_spaces(few)) == 9
    many = pd.concat([lines.assign(variant=lines["variant"] + str(i)) for i in range(9)])
    assert readable_spaces(many) == [f"s{s}" for s in range(MOST_IN_PANELS // MOST_ROWS)]


def test_a_note_below_covers_nothing_that_is_drawn():
    figure = rate_distortion(parts_of(variants(MOST_COLOURS + 4)))  # a label of two lines
    before = figure.get_tightbbox()
    note_below(figure, "the first 1 of 2 observation spaces")
    assert figure.texts[-1].get_window_extent().y1 <= before.y0 * figure.dpi
    close(figure)
