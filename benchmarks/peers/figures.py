"""Results of the race -> figures. Each function draws one and returns it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.peers.entries import PEERS, SIZES
from benchmarks.peers.race import Result
from benchmarks.peers.report import of_size, summary
from benchmarks.peers.work import Size

BLUES, OTHERS = ("#0072b2", "#001d66"), ("#e69f00", "#d55e00", "#f0e442", "#009e73", "#cc79a7")
COLOURS = ("0.6", "0.8", *BLUES, *OTHERS, "#56b4e9", "#000000")
"""Colours of the peers in their order; readable with any colour vision (Okabe & Ito 2008)."""
NUM_STEPS = 5000
NUM_RUNS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Line(NamedTuple):
    """Points that are joined; beyond the last stack that was measured they are computed from it."""

    peer: str
    x: list[int]
    y: list[float]
    measured: list[int]  # stack sizes


def cost(results: Sequence[Result]) -> Figure:
    """Milliseconds per step and run against the number of runs at once.

    For peers that cannot stack: of runs one after the other.
    """
    return _figure(results, _cost_line, "runs at once", "ms per step and run")


def total(results: Sequence[Result]) -> Figure:
    """Seconds for a number of runs on one thread, start-up included.

    More runs than the largest stack that was measured are trained in several; peers that cannot
    stack train one after the other in one process.
    """
    y = f"seconds for {NUM_STEPS} steps of each run"
    return _figure(results, _total_line, "runs", y)


def _cost_line(entries: Sequence[Result]) -> Line:
    x, y = [r.num_runs for r in entries], [summary(r.wall_ms).median for r in entries]
    flat = len(x) == 1
    return Line(entries[0].peer, [1, NUM_RUNS[-1]] if flat else x, y * 2 if flat else y, x)


def _total_line(entries: Sequence[Result]) -> Line:
    y = [min(_seconds(r, num_runs) for r in entries) for num_runs in NUM_RUNS]
    return Line(entries[0].peer, list(NUM_RUNS), y, [r.num_runs for r in entries])


def _seconds(entry: Result, num_runs: int) -> float:
    """In stacks of that entry's size, the last of them filled up."""
    trained = -(-num_runs // entry.num_runs) * entry.num_runs
    return (entry.start_up_s or 0.0) + NUM_STEPS * trained * summary(entry.wall_ms).median / 1e3


def _figure(
    results: Sequence[Result], line: Callable[[Sequence[Result]], Line], x: str, y: str
) -> Figure:
    sizes = [size for size in SIZES if any(r.wall_ms for r in of_size(results, size))]
    figure = Figure(figsize=(5.6 * max(1, len(sizes)), 4.2), layout="constrained")
    grid = figure.subplots(1, max(1, len(sizes)), squeeze=False)
    for axes, size in zip(grid[0], sizes, strict=False):
        _panel(axes, of_size(results, size), size, line)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
    handles = {h.get_label(): h for axes in grid[0] for h in axes.get_legend_handles_labels()[0]}
    figure.legend(handles=list(handles.values()), loc="outside right center", frameon=False)
    return figure


def _panel(
    axes: Any, results: Sequence[Result], size: Size, line: Callable[[Sequence[Result]], Line]
) -> None:
    for peer, colour in zip(PEERS, itertools.cycle(COLOURS), strict=False):
        entries = [r for r in results if r.peer == peer.name and r.status == "timed"]
        if entries:
            _draw(axes, line(sorted(entries, key=lambda r: r.num_runs)), colour)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(NUM_RUNS, [str(n) for n in NUM_RUNS])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.set_title(size.label, loc="left", fontsize=10)


def _draw(axes: Any, line: Line, colour: str) -> None:
    """Measured stacks as dots; what is computed from the largest as a broken line."""
    last = line.x.index(max(line.measured))
    dots = [line.x.index(num_runs) for num_runs in line.measured]
    look: dict[str, Any] = {"color": colour, "lw": 1.4, "ms": 4}
    axes.plot(line.x[last:], line.y[last:], ":", **look)
    axes.plot(line.x[: last + 1], line.y[: last + 1], "o-", markevery=dots, label=line.peer, **look)
