"""Rows of a gradient measurement -> figures. Each function draws one and returns it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from vaebench.report.gradients.curves import (
    COLOURS,
    LINE_HEIGHT,
    Curve,
    curves_of,
    plainly,
    plot,
    ticks,
)
from vaebench.report.gradients.tables import SIDES, band, envelope
from vaebench.report.lettering import lettered

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "grid.color": "0.92",
    "axes.axisbelow": True,
}
DPI = 140
PANEL_WIDTH, NAMES_WIDTH, PANEL_HEIGHT, BETWEEN = 2.7, 1.8, 2.6, 0.75
"""Sizes in inches; names stand to the right of each panel."""
T_TICKS = (-1000, -100, -10, -4, -2, 0, 2, 4, 10, 100, 1000)


def signal_to_noise(rows: pd.DataFrame) -> Figure:
    """Draw the SNR of the whole gradient against K: encoder, decoder across, checkpoints down."""
    steps = _steps(rows)
    with rc_context(STYLE):
        figure, grid = _grid(len(steps), len(SIDES), len(_names(rows)))
        for i, step in enumerate(steps):
            for j, side in enumerate(SIDES):
                _against_samples(grid[i][j], rows, step, side, "snr_vector")
                grid[i][j].set_ylabel("SNR of the whole gradient")
        _note(figure, "bars: one standard error; hollow: less than two from 0")
    return figure


def cost(rows: pd.DataFrame) -> Figure:
    """Draw what averaging repeated gradients costs until signal and noise are equal.

    That is variance x cost over the squared signal, in decoder evaluations and in seconds. The
    cheapest has a ring.
    """
    steps = _steps(rows)
    units = {"evaluations": "decoder evaluations", "seconds": "seconds"}
    panels = [(step, unit) for unit in units for step in steps]
    with rc_context(STYLE):
        figure, grid = _grid(len(panels), len(SIDES), len(_names(rows)))
        for i, (step, unit) in enumerate(panels):
            for j, side in enumerate(SIDES):
                drawn = _against_samples(grid[i][j], rows, step, side, f"{unit}_to_snr_1")
                grid[i][j].set_ylabel(f"{units[unit]} to SNR 1")
                _ring(grid[i][j], drawn)
        _note(figure, "bars: one standard error; hollow: less than two from 0; ring: the least")
    return figure


def bias(rows: pd.DataFrame) -> Figure:
    """Draw t-statistics of the bias along several directions, with the band for no bias."""
    shown = rows[rows["metric"] == "bias_t"].dropna(subset=["value"])
    steps, names, samples = _steps(rows), _names(rows), sorted(shown["num_samples"].unique())
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.4 + len(steps) * (0.6 + 0.22 * len(names))))
        grid = figure.subplots(len(steps), len(SIDES), sharey=True, sharex=True, squeeze=False)
        for i, step in enumerate(steps):
            for j, side in enumerate(SIDES):
                part = shown[(shown["step"] == step) & (shown["side"] == side)]
                _strip(grid[i][j], part, names, samples)
                grid[i][j].set_title(f"{side}, after {step:,.0f} steps")
        _scale_t(grid[0][0], max(float(shown["value"].abs().max()), band(len(shown))))
        figure.supxlabel(
            "t of the difference from the declared gradient; grey: where all lie without bias",
            fontsize=8,
        )
        figure.legend(
            handles=_keys(samples),
            loc="lower center",
            ncols=len(samples) + 2,
            frameon=False,
            bbox_to_anchor=(0.5, -0.05),
        )
        figure.tight_layout()
    return figure


def budget(rows: pd.DataFrame) -> Figure | None:
    """Draw how near averages of repeated gradients come to that of log p(x), against their cost.

    At each budget the K that comes nearest. None where log p(x)'s gradient was not measured.
    """
    nearest = envelope(rows)
    if nearest.empty:
        return None
    steps = _steps(rows)
    with rc_context(STYLE):
        figure, grid = _grid(1, len(steps), len(_names(rows)))
        for axes, step in zip(grid[0], steps, strict=True):
            part = nearest[nearest["step"] == step].assign(standard_error=0.0)
            axes.set_xscale("log")
            plot(axes, curves_of(part, _names(rows), "budget", "error"), markers=False)
            ticks(axes.xaxis, part["budget"].min(), part["budget"].max())
            axes.set_title(f"decoder, after {step:,.0f} steps")
            axes.set_xlabel("decoder evaluations spent on one gradient")
            axes.set_ylabel("relative error to log p(x)'s gradient")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a file."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
    return buffer.getvalue()


def _steps(rows: pd.DataFrame) -> list[float]:
    return sorted(rows["step"].dropna().unique())


def _names(rows: pd.DataFrame) -> dict[str, str]:
    """What to call each variant: its objective, with hyperparameters where it has several."""
    pairs = rows[["variant", "objective"]].drop_duplicates()
    several = pairs["objective"].duplicated(keep=False)
    names = pairs["variant"].where(several, pairs["objective"])
    letters = lettered(names)
    return dict(zip(pairs["variant"], names.map(letters), strict=True))


def _grid(num_rows: int, num_columns: int, num_names: int) -> tuple[Figure, Any]:
    """Panels with room for names at the right of each."""
    panel = max(PANEL_HEIGHT, 1.1 * LINE_HEIGHT * num_names)
    width, height = PANEL_WIDTH + NAMES_WIDTH + 0.3, panel + BETWEEN
    figure = Figure(figsize=(num_columns * width, num_rows * height))
    spaces = {"wspace": (NAMES_WIDTH + 0.3) / PANEL_WIDTH, "hspace": BETWEEN / panel}
    edges = {"left": 0.0, "right": 1.0 - NAMES_WIDTH / (num_columns * width)}
    edges |= {"bottom": 0.0, "top": 1.0 - 0.3 / (num_rows * height)}
    grid = figure.subplots(num_rows, num_columns, squeeze=False, gridspec_kw=spaces | edges)
    return figure, grid


def _note(figure: Figure, text: str) -> None:
    """Write a note below all panels."""
    figure.text(0.0, -0.6 / figure.get_size_inches()[1], text, color="0.4", fontsize=7, va="top")


def _against_samples(
    axes: Any, rows: pd.DataFrame, step: float, side: str, metric: str
) -> list[Curve]:
    """Draw the curves of one metric over K, with their axes; give the curves."""
    kept = (rows["step"] == step) & (rows["side"] == side) & (rows["metric"] == metric)
    drawn = curves_of(rows[kept & (rows["value"] > 0.0)], _names(rows), "num_samples", "value")
    samples = sorted(rows["num_samples"].unique())
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(samples) / 1.3, max(samples) * 1.3)
    axes.set_xticks(samples, [str(k) for k in samples])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("posterior samples K")
    axes.set_title(f"{side}, after {step:,.0f} steps")
    plot(axes, drawn)
    return drawn


def _ring(axes: Any, drawn: Sequence[Curve]) -> None:
    """Draw a ring around the cheapest estimator and K."""
    points = [(y, x, one.colour) for one in drawn for x, y in zip(one.x, one.y, strict=True)]
    if points:
        y, x, colour = min(points)
        axes.plot(x, y, "o", ms=11, mfc="none", mec=colour, mew=1.2)


def _strip(axes: Any, part: pd.DataFrame, names: dict[str, str], samples: Sequence[int]) -> None:
    """Draw a line of points per variant and K: dots along random directions, a diamond along the
    gradient."""
    limit = band(len(part))
    axes.axvspan(-limit, limit, color="0.9", lw=0)
    axes.axvline(0.0, color="0.75", lw=0.8)
    for j, num_samples in enumerate(samples):
        points = part[part["num_samples"] == num_samples]
        shift = 0.7 * ((j + 0.5) / len(samples) - 0.5)
        y = points["variant"].map({v: i + shift for i, v in enumerate(names)})
        along = points["protocol"].str.endswith("along the gradient")
        for chosen, marker, size in ((~along, ".", 3.0), (along, "d", 4.0)):
            dot = {"color": COLOURS[j % len(COLOURS)], "mew": 0, "lw": 0, "marker": marker}
            axes.plot(points["value"][chosen], y[chosen], ms=size, **dot)
            beyond = chosen & (points["value"].abs() > limit)
            axes.plot(points["value"][beyond], y[beyond], ms=3 * size, **dot)
    axes.set_yticks(range(len(names)), names.values())
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _scale_t(axes: Any, reach: float) -> None:
    """Make an axis linear between -5 and 5, logarithmic beyond."""
    axes.set_xscale("symlog", linthresh=5.0)
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    axes.xaxis.set_major_locator(FixedLocator([t for t in T_TICKS if abs(t) <= 1.1 * reach]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(plainly())


def _keys(samples: Sequence[int]) -> list[Line2D]:
    """The legend: a colour for each K, a marker for each kind of direction."""
    dot: dict[str, Any] = {"lw": 0, "mew": 0}
    coloured = [
        Line2D([], [], color=COLOURS[j % len(COLOURS)], marker="o", ms=4, label=f"K = {k}", **dot)
        for j, k in enumerate(samples)
    ]
    along = Line2D([], [], color="0.4", marker="d", ms=5, label="along the gradient", **dot)
    return [*coloured, along, Line2D([], [], color="0.4", marker=".", ms=4, label="random", **dot)]
