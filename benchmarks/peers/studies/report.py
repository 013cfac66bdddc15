"""Laps over whole studies -> tables, targets and a figure. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.peers.studies.laps import Lap
from benchmarks.peers.studies.programs import COLD, FROM_DISK, PROGRAMS
from benchmarks.peers.studies.variants import LIKELIHOODS

SYSTEM = {program.name: program.system for program in PROGRAMS}
WORDS = {program.name: program.words for program in PROGRAMS}
COLOURS = {COLD: "#56b4e9", FROM_DISK: "#0072b2"}
LEGEND = """\
The training of benchmarks/studies/digits.toml, {runs} runs of {steps} steps, from the start of the
first process to the end of the last: seconds, median over rounds ({rounds}). Cold: every cache is
empty; from disk: it holds what the cold lap has left. `x JAX`: against the faster of JAX's entries
on as many cores, within rounds. The last loss is that of the last minibatch, the mean over variants
and seeds."""


class Entry(NamedTuple):
    """What is measured in every round."""

    program: str
    num_cores: int
    start: str


def _entries(laps: Sequence[Lap]) -> dict[Entry, dict[int, Lap]]:
    """The laps of each entry that went through, by round."""
    entries: dict[Entry, dict[int, Lap]] = {}
    for lap in laps:
        if not lap.failure:
            entry = Entry(lap.program, lap.num_cores, lap.start)
            entries.setdefault(entry, {})[lap.round] = lap
    return entries


def _fastest(laps: Sequence[Lap], system: str, num_cores: int, start: str) -> dict[int, float]:
    """The seconds of a system's fastest entry, by round."""
    entries = [
        {index: lap.wall_s for index, lap in rounds.items()}
        for entry, rounds in _entries(laps).items()
        if (SYSTEM[entry.program], entry.num_cores, entry.start) == (system, num_cores, start)
    ]
    return min(entries, key=lambda rounds: statistics.median(rounds.values()), default={})


def ratio(of: dict[int, float], to: dict[int, float]) -> float | None:
    """The median ratio of seconds within rounds; None where no round has both."""
    ratios = [seconds / to[index] for index, seconds in of.items() if index in to]
    return statistics.median(ratios) if ratios else None


def table(laps: Sequence[Lap]) -> pd.DataFrame:
    """A line for each entry, by cores, start and time; those that failed come last."""
    entries = sorted(
        _entries(laps).items(),
        key=lambda item: (item[0].num_cores, item[0].start, _median(item[1].values(), "wall_s")),
    )
    lines = [_line(entry, list(rounds.values()), laps) for entry, rounds in entries]
    lost = [lap for lap in laps if lap.failure]
    return pd.DataFrame([*lines, *map(_lost_line, lost)])


def _line(entry: Entry, rounds: list[Lap], laps: Sequence[Lap]) -> dict[str, str]:
    seconds = {lap.round: lap.wall_s for lap in rounds}
    to_jax = ratio(seconds, _fastest(laps, "JAX", entry.num_cores, entry.start))
    is_extrapolated = any(lap.extrapolated_s for lap in rounds)
    about = "about " if is_extrapolated else ""
    return {
        "program": entry.program,
        "cores": str(entry.num_cores),
        "start": entry.start,
        "seconds": f"{about}{_median(rounds, 'wall_s'):.1f}",
        "x JAX": "" if to_jax is None else f"{to_jax:.3g}",
        "CPU seconds": "" if is_extrapolated else f"{_median(rounds, 'cpu_s'):.1f}",
        "last loss, nats": ", ".join(
            f"{statistics.mean((lap.loss_nats or {})[name] for lap in rounds):.2f}"
            for name in LIKELIHOODS
        ),
        "in the time": WORDS[entry.program],
    }


def _lost_line(lap: Lap) -> dict[str, str]:
    place = {"program": lap.program, "cores": str(lap.num_cores), "start": lap.start}
    return place | {"seconds": "not timed", "in the time": lap.failure}


def _median(laps: Iterable[Lap], name: str) -> float:
    return statistics.median(getattr(lap, name) for lap in laps)


def targets(laps: Sequence[Lap]) -> pd.DataFrame:
    """Each target beside what was measured."""
    return pd.DataFrame(list(_target_lines(laps)))


def _target_lines(laps: Sequence[Lap]) -> Iterator[dict[str, str]]:
    for start, limit in ((COLD, 0.8), (FROM_DISK, 0.55)):
        ours, jax = (_fastest(laps, system, 1, start) for system in ("vaebench", "JAX"))
        if (value := ratio(ours, jax)) is not None:
            words = f"whole study, one core, {start}: vaebench / JAX"
            yield _target(words, f"<= {limit:g}", value, value <= limit)
    for start in (COLD, FROM_DISK):
        one, two = (_fastest(laps, "vaebench", cores, start) for cores in (1, 2))
        if (value := ratio(one, two)) is not None:
            words = f"whole study, {start}: vaebench on one core / on two"
            yield _target(words, ">= 1.9", value, value >= 1.9)


def _target(words: str, limit: str, value: float, is_met: bool) -> dict[str, str]:
    measured = {"ratio": words, "target": limit, "measured": f"{value:.3g}"}
    return measured | {"met": "yes" if is_met else "no"}


def legend(laps: Sequence[Lap]) -> str:
    """What the table shows, in words."""
    rounds = len({lap.round for lap in laps})
    return LEGEND.format(runs=laps[0].num_runs, steps=laps[0].num_steps, rounds=rounds)


def figure(laps: Sequence[Lap]) -> Figure:
    """Seconds of every entry but the extrapolated ones, as bars."""
    measured = {
        entry: _median(rounds.values(), "wall_s")
        for entry, rounds in _entries(laps).items()
        if not any(lap.extrapolated_s for lap in rounds.values())
    }
    places = sorted({(entry.num_cores, entry.program) for entry in measured}, reverse=True)
    drawn = Figure(figsize=(6.4, 0.7 + 0.6 * len(places)), layout="constrained")
    axes = drawn.subplots()
    for start, shift in ((COLD, 0.2), (FROM_DISK, -0.2)):
        here = [
            (y + shift, measured[Entry(program, cores, start)])
            for y, (cores, program) in enumerate(places)
            if Entry(program, cores, start) in measured
        ]
        y, seconds = zip(*here, strict=True) if here else ((), ())
        bars = axes.barh(y, seconds, height=0.38, color=COLOURS[start], label=start)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    cores_in_words = {1: "one core", 2: "two cores"}
    axes.set_yticks(range(len(places)), [f"{p}, {cores_in_words[n]}" for n, p in places])
    axes.set_xlabel(f"seconds for the study of {laps[0].num_runs} runs" if laps else "seconds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn
