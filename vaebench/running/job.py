"""A job: a stack of runs with all that a worker needs to do it; and how it is divided."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vaebench import results
from vaebench.config import RunConfig
from vaebench.core.errors import InputError
from vaebench.data import Dataset
from vaebench.running.events import OfJob
from vaebench.training.loop import Trained
from vaebench.training.stepping.ways import EAGER, Stepping

SETTLED = ("done", "diverged")
"""Statuses of runs that are not trained again, and whose records are not replaced."""


@dataclass(frozen=True)
class Needs:
    """What a job takes of the machine that it runs on."""

    cores: int = 1
    gpus: int = 0
    run_bytes: int = 0
    """Bytes of memory for each of its runs; 0 where that is not known."""


Conclude = Callable[["Job", Trained, Sequence[int], Sequence[RunConfig], Dataset], Iterator[OfJob]]
"""(job, trained stack, the runs of it that are left, their configurations with paths of this
process, data) -> files and records of these runs. A function that workers can import."""


@dataclass(frozen=True)
class Job:
    """A stack of runs with all that a worker needs to do it, on this machine or another.

    Or a graph to be compiled before stacks call it: then there are no runs.
    """

    configs: tuple[RunConfig, ...]
    study: str
    plugins: tuple[str, ...] = ()
    device: str = "cpu"
    needs: Needs = Needs()
    stepping: Stepping = EAGER
    cwd: Path = Path()
    """The folder that the configurations' relative paths start from."""
    root: Path = Path("/")
    """Where this machine has the files of the coordinator's file system: see `parcel`."""
    until: int | None = None
    """The step after which training pauses; None: it goes to its end."""
    start: tuple[bytes, ...] = ()
    """A checkpoint for each of the runs that go on from where they paused: see `paused`."""
    conclude: Conclude | None = None
    """What is done with runs that did not diverge; None: they are graded in full."""
    graph_of: RunConfig | None = None
    """A run whose graph is to be compiled."""
    deaths: int = 0
    """Workers that died with these runs."""
    machines_lost: int = 0
    """Machines that were lost with these runs, and not counted as deaths."""


def divided(job: Job, max_size: int) -> list[Job]:
    """The same runs in jobs of at most so many, of nearly equal size."""
    num_parts = -(-len(job.configs) // max_size)
    ends = [len(job.configs) * i // num_parts for i in range(num_parts + 1)]
    return [_part(job, range(first, end)) for first, end in itertools.pairwise(ends)]


def without(job: Job, ended: Collection[str]) -> Job:
    """The job without the runs of these ids."""
    return _part(job, [i for i, config in enumerate(job.configs) if config.id not in ended])


def _part(job: Job, runs: Sequence[int]) -> Job:
    start = tuple(job.start[i] for i in runs) if job.start else ()
    return replace(job, configs=tuple(job.configs[i] for i in runs), start=start)


def paused(out: Path, configs: Sequence[RunConfig]) -> tuple[bytes, ...]:
    """Where each of these runs paused: its weights in a results folder are then a checkpoint.

    Nothing, so that all begin anew, where one is not there: it was damaged, or forgotten, as the
    run is of an earlier trial too.
    """
    try:
        return tuple(results.read_weights(out, results.read(out, c.id)) for c in configs)
    except InputError:
        return ()
