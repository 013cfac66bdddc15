"""A series: a command is killed, and given again, some times; then it runs to its end."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.faults import folders, processes
from benchmarks.faults.works import Work

MOST_ENDS = 3
"""How often a command is given after the kills until it ends well."""


@dataclass
class Figures:
    """What a series has shown. All but the first three are to be 0."""

    work: str
    victim: str
    kills: int = 0
    lost: int = 0
    """Records, figures and trials that were there before a kill and not after it."""
    repeated: int = 0
    """Stacks that were trained though a run of theirs was settled."""
    differing: int = 0
    """Files of the folder that are not as after an undisturbed run."""
    processes: int = 0
    """Processes that were still there after a kill, or at the end."""
    temporary: int = 0
    """Temporary files at the end."""
    broken: int = 0
    """Files that were set aside as broken."""
    ended_badly: int = 0
    """Commands that, not killed, ended with another status than 0."""


@dataclass(frozen=True)
class Aim:
    """What is killed, and in which span of time or of steps of writing."""

    victim: str
    span_s: float
    steps: int

    def kill(self, work: Work, place: Path, chance: random.Random) -> tuple[bool, int]:
        """Give the command and kill it, or its worker; whether that was there, and the status."""
        if self.victim == "writer":
            at = chance.randint(1, self.steps)
            status = processes.finish(processes.start(place, work.arguments, at=at))
            return status < 0, status
        process = processes.start(place, work.arguments)
        if self.victim == "coordinator":
            hit = processes.kill_coordinator(process, chance.uniform(0.0, self.span_s))
            return hit, process.returncode
        hit = processes.kill_worker(process, chance.uniform(0.0, self.span_s / 2), chance)
        return hit, processes.finish(process)


def aims(work: Work, reference: Path) -> list[Aim]:
    """All that can be killed of a command, by what it took undisturbed."""
    steps = folders.num_steps(reference)
    span_s = float((reference / "undisturbed").read_text())
    victims = ["coordinator", "writer", *(["worker"] if work.has_workers else [])]
    return [Aim(victim, span_s, steps) for victim in victims]


def series(work: Work, each: Sequence[Aim], references: Path, place: Path, seed: int) -> Figures:
    """Give a command and kill it at each aim in turn, then until it ends; what is left of it.

    The folder is removed where all is as it is to be.
    """
    victims = " ".join(dict.fromkeys(aim.victim for aim in each))
    chance = random.Random(f"{work.name} {victims} {seed}")
    shutil.rmtree(place, ignore_errors=True)
    work.prepare(place, references)
    figures = Figures(work.name, victims)
    has_ended = False
    for aim in each:
        before, since = folders.state(place / "out"), len(folders.read_log(place))
        hit, status = aim.kill(work, place, chance)
        figures.kills += hit
        if has_ended := status >= 0:
            figures.ended_badly += status != 0
        _settle(work, figures, place, before, since)
        if has_ended:
            break
    for _ in range(MOST_ENDS):
        if has_ended:
            break
        before, since = folders.state(place / "out"), len(folders.read_log(place))
        status = processes.finish(processes.start(place, work.arguments))
        has_ended = status == 0
        figures.ended_badly += not has_ended
        _settle(work, figures, place, before, since)
    figures.differing = len(folders.differing(place / "out", references / work.name / "out"))
    figures.temporary = len(folders.temporary(place))
    figures.broken = len(folders.broken(place))
    if not any(list(asdict(figures).values())[3:]):
        shutil.rmtree(place)
    return figures


def _settle(work: Work, figures: Figures, place: Path, before: folders.State, since: int) -> None:
    """Wait until all processes of a command are gone, and count what it has lost or repeated."""
    there = processes.left(place)
    figures.processes += len(there)
    processes.end(there)
    now = folders.state(place / "out")
    figures.lost += work.losses(before, now)
    figures.repeated += before.repeats(folders.read_log(place)[since:])
