"""Results of the race -> statistics and tables. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.peers.entries import FLOOR, PEERS, SIZES
from benchmarks.peers.race import Result
from benchmarks.peers.shapes.sizes import MODULE_PEERS, SHAPE_PEERS
from benchmarks.peers.work import Size

BUSY = 0.9
"""CPU over wall time below which neighbours took a share of the core."""
SYSTEM = {peer.name: peer.system for peer in (*PEERS, *SHAPE_PEERS, *MODULE_PEERS)}


class Summary(NamedTuple):
    """Over rounds."""

    median: float
    q20: float
    q80: float

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.q20:.3g}, {self.q80:.3g}]"


def summary(values: Sequence[float]) -> Summary:
    """Median and 20% and 80% quantiles."""
    return Summary(*(float(q) for q in np.quantile(values, (0.5, 0.2, 0.8))))


def ratio(result: Result, other: Result) -> Summary:
    """The ratio of the times of each round, where a slow moment of the machine falls on both."""
    pairs = zip(result.wall_ms, other.wall_ms, strict=True)
    return summary([mine / theirs for mine, theirs in pairs])


def fastest(results: Iterable[Result], system: str, *stacks: int) -> Result | None:
    """The fastest of a system's timed entries, of given stack sizes where some are named."""
    timed = [
        r
        for r in results
        if r.status == "timed"
        and r.in_table
        and SYSTEM[r.peer] == system
        and r.num_runs in (stacks or (r.num_runs,))
    ]
    return min(timed, key=lambda r: summary(r.wall_ms).median, default=None)


def of_size(results: Iterable[Result], size: Size) -> list[Result]:
    """The results of one size."""
    return [r for r in results if r.size == size.name]


def table(results: Sequence[Result], size: Size) -> pd.DataFrame:
    """A line for each entry of the table; columns that say nothing of this size are left out."""
    here = of_size(results, size)
    baseline = fastest(here, "vaebench", size.stack)
    floors = {r.num_runs: r for r in here if r.peer == FLOOR.name and r.status == "timed"}
    shown = sorted((r for r in here if r.in_table), key=_place)
    lines = pd.DataFrame([_line(r, baseline, floors.get(r.num_runs)) for r in shown])
    return lines.loc[:, (lines != "").any()]


def _place(result: Result) -> float:
    """By speed; who is not timed comes last."""
    return summary(result.wall_ms).median if result.wall_ms else math.inf


def _line(result: Result, baseline: Result | None, floor: Result | None) -> dict[str, str]:
    timed = result.status == "timed"
    return {
        "peer": result.peer,
        "runs at once": str(result.num_runs),
        "time_ms": str(summary(result.wall_ms)) if timed else "not timed",
        "x vaebench": str(ratio(result, baseline)) if timed and baseline else "",
        "x floor": str(ratio(result, floor)) if timed and floor else "",
        "ELBO_nats": _elbo(result.elbo_nats),
        "loss, gradient norm": ", ".join(f"{value:.5g}" for value in result.check),
        "CPU/wall": _shares(result) if timed else "",
        "version": result.package,
        "in the time": result.measured if timed else result.reason,
    }


def _elbo(values: Sequence[float]) -> str:
    if not values:
        return ""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{np.mean(values):.2f} ± {error:.2f} ({len(values)})"


def _shares(result: Result) -> str:
    """Before it was bound to one core, where more than 1 is more than a thread, and in the race."""
    share = sum(result.cpu_ms) / sum(result.wall_ms)
    return f"{result.threads or 0.0:.2f}, {share:.2f}{' (neighbours)' if share < BUSY else ''}"


@dataclass(frozen=True)
class Target:
    """A ratio of times per step and run, and what it must be with so many runs at once."""

    words: str
    of: str
    to: str
    limits: Mapping[str, Mapping[int, float]]
    """Name of the size -> number of vaebench's runs at once -> limit."""
    at_most: bool = True

    def measured(self, results: Sequence[Result], size: Size, num_runs: int) -> Summary | None:
        """None where one of the two was not timed. Other systems race with their fastest entry."""
        here = of_size(results, size)
        sides = [
            fastest(here, system, *([num_runs] if system in ("vaebench", "floor") else []))
            for system in (self.of, self.to)
        ]
        return ratio(sides[0], sides[1]) if sides[0] and sides[1] else None

    def is_met(self, value: float, limit: float) -> bool:
        """Whether the ratio is on the right side."""
        return value <= limit if self.at_most else value >= limit


def _at_least(system: str, small: float, large: float) -> Target:
    """How many times as long as a stack of vaebench's another system takes, at the two sizes."""
    limits = {"small": {32: small}, "large": {4: large}}
    return Target(f"{system} / vaebench", system, "vaebench", limits, at_most=False)


TARGETS = (
    Target(
        "vaebench / best JAX",
        "vaebench",
        "JAX",
        {"small": {1: 1.05, 8: 1.0, 32: 0.97}, "large": {1: 0.95, 4: 0.95, 8: 0.95}}
        | {shape: {8: 1.0} for shape in ("conv", "iwae")},
    ),
    _at_least("pytorch/examples", small=8.0, large=1.9),
    _at_least("pythae", small=9.0, large=2.0),
    _at_least("Pyro", small=12.0, large=2.0),
    Target("vaebench / floor", "vaebench", "floor", {"small": {32: 1.6}, "large": {4: 1.4}}),
    Target(
        "vaebench / plain PyTorch",
        "vaebench",
        "PyTorch",
        {shape: {8: 0.8} for shape in ("conv", "iwae")}
        | {"own": {1: 1.0, 8: 1.0}, "resnet": {1: 1.0, 2: 1.0}},
    ),
)


def targets(results: Sequence[Result], sizes: Sequence[Size] = SIZES) -> pd.DataFrame:
    """Each target beside what was measured, at each size."""
    return pd.DataFrame([line for size in sizes for line in _target_lines(results, size)])


def _target_lines(results: Sequence[Result], size: Size) -> Iterator[dict[str, str]]:
    for target in TARGETS:
        for num_runs, limit in target.limits.get(size.name, {}).items():
            measured = target.measured(results, size, num_runs)
            if measured is not None:
                yield {
                    "size": size.label,
                    "ratio": target.words,
                    "vaebench runs at once": str(num_runs),
                    "target": f"{'<=' if target.at_most else '>='} {limit:g}",
                    "measured": str(measured),
                    "met": "yes" if target.is_met(measured.median, limit) else "no",
                }
