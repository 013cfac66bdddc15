"""Laps over the whole study: each from cold processes, alone on the machine."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.peers.studies.programs import (
    PROGRAMS,
    Folders,
    Losses,
    Program,
    Work,
    environment,
)


@dataclass(frozen=True)
class Lap:
    """A program's time for the study. Cold: with caches that are empty; from disk: filled."""

    round: int
    program: str
    num_cores: int
    start: str
    num_steps: int
    num_runs: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    extrapolated_s: float = 0.0
    """The part of wall_s that was not measured."""
    loss_nats: Losses | None = None
    failure: str = ""

    @property
    def place(self) -> tuple[int, str, int, str, int, int]:
        """What was measured: a lap that has been run is not run again."""
        return (
            self.round,
            self.program,
            self.num_cores,
            self.start,
            self.num_steps,
            self.num_runs,
        )


def race(
    work: Work, num_rounds: int, known: Sequence[Lap], say: Callable[[str], None]
) -> Iterator[list[Lap]]:
    """Every program's laps, in an order that is drawn anew each round: all so far, after each.
    `known` laps are kept, so that a race that was stopped goes on where it was."""
    laps = list(known)
    for index in range(num_rounds):
        entries = [(program, cores) for program in PROGRAMS for cores in program.cores]
        for program, cores in random.Random(index).sample(entries, len(entries)):
            if cores > len(available_cores()):
                say(f"{program.name} needs {cores} cores: left out")
                continue
            here = Work(work.num_steps, work.num_seeds, cores)
            planned = [_lap(index, program, here, start) for start in program.starts]
            if {lap.place for lap in planned} <= {lap.place for lap in laps}:
                continue
            laps = [lap for lap in laps if lap.place not in {p.place for p in planned}]
            for lap in _laps(program, here, index, say):
                laps.append(lap)
                yield laps


def available_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _lap(index: int, program: Program, work: Work, start: str) -> Lap:
    """A lap that is not yet run."""
    return Lap(index, program.name, work.num_cores, start, work.num_steps, work.num_runs)


def _laps(program: Program, work: Work, index: int, say: Callable[[str], None]) -> Iterator[Lap]:
    """The cold lap, then one from the caches that it has filled."""
    with tempfile.TemporaryDirectory(prefix="study-") as folder:
        folders = Folders(Path(folder) / "caches", Path(folder) / "out")
        folders.caches.mkdir()
        for start in program.starts:
            lap = _run(program, work, folders, _lap(index, program, work, start))
            shutil.rmtree(folders.out, ignore_errors=True)
            words = lap.failure or f"{lap.wall_s:.1f} s"
            say(f"study, {program.name}, {work.num_cores} cores, {start}: {words}")
            yield lap


def _run(program: Program, work: Work, folders: Folders, lap: Lap) -> Lap:
    """The lap as it went."""
    commands = program.commands(work, folders)
    cores = available_cores()[-work.num_cores :]
    share = len(cores) // len(commands)
    before, start = _cpu_seconds(), time.perf_counter()
    processes = []
    for i, command in enumerate(commands):
        with _bound(cores[i * share : (i + 1) * share]):
            processes.append(
                subprocess.Popen(
                    command,
                    env=environment(program, folders),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
    printed = [process.communicate()[0] for process in processes]
    wall, cpu = time.perf_counter() - start, _cpu_seconds() - before
    if lost := [process.returncode for process in processes if process.returncode]:
        return replace(lap, failure=f"it ended with status {lost[0]}")
    reading = program.read(work, folders.out, printed)
    return replace(
        lap,
        wall_s=wall + reading.untrained_s,
        cpu_s=cpu,
        extrapolated_s=reading.untrained_s,
        loss_nats=reading.loss_nats,
    )


@contextmanager
def _bound(cores: Sequence[int]) -> Iterator[None]:
    """Start processes on these cores alone, where the system can: they inherit it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cpu_seconds() -> float:
    """CPU time of all processes that have ended, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
