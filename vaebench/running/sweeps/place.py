"""Where and how the runs of trials are trained: an executor, and a folder for each stage."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from vaebench import results
from vaebench.config import RunConfig
from vaebench.results import Record
from vaebench.running.cluster import Cluster
from vaebench.running.coordinate import Account, Session
from vaebench.running.environment import default_device
from vaebench.running.events import Event
from vaebench.running.executors import EXECUTORS
from vaebench.running.job import Conclude, Job, Needs, paused
from vaebench.running.listeners import NOBODY, Audience
from vaebench.running.meter import Meter
from vaebench.running.plan import stacks
from vaebench.running.schedule import longest_first, schedule
from vaebench.running.sweeps.judging import pausing
from vaebench.running.sweeps.pruners import Stage
from vaebench.running.sweeps.steppings import Steppings


class Part(NamedTuple):
    """Runs of one variant, in the order of their trials, and how far to train them."""

    runs: Sequence[RunConfig]
    stage: Stage
    since: Stage | None
    """The stage in which they paused."""
    steppings: Steppings


@dataclass(frozen=True)
class Place:
    """The folder of a sweep's trials, and what trains them."""

    folder: Path
    """A results folder, with one more within for each step at which trials pause."""
    study: str
    executor: str
    workers: int | None
    cluster: Cluster
    plugins: Sequence[str]
    conclude: Conclude
    """What workers do with runs that have come to their end."""
    audience: Audience = NOBODY

    def of(self, stage: Stage) -> Path:
        """The results folder of a stage."""
        return self.folder if stage.until is None else self.folder / f"step-{stage.until}"

    def prepare(self, stages: Sequence[Stage]) -> None:
        """Make the folders of the stages, and clear what an interrupted writer left."""
        for stage in stages:
            results.prepare(self.of(stage))

    def train(
        self, parts: Sequence[Part], session: Session, meter: Meter
    ) -> list[dict[str, Record]]:
        """Train the runs of each part to the end of its stage, and read their records by id.

        Each part makes stacks of its own, so what a run trains beside depends on neither the number
        of workers nor on what was recorded when: of a stack that is not recorded to its last run,
        nothing is kept, as numbers of runs in stacks of other sizes may be rounded otherwise.
        """
        by_stage: dict[Stage, list[Job]] = {}
        for part in parts:
            by_stage.setdefault(part.stage, []).extend(self._jobs(part))
        for stage, jobs in by_stage.items():
            for job in jobs:
                for config in job.configs:
                    results.remove(self.of(stage), "runs", config.id)
            if jobs:
                account = Account(self.of(stage), {}, meter, self.audience)
                ordered = self._ordered(jobs, session)
                perform = functools.partial(self._perform, self.of(stage))
                session.carry_out(ordered, perform, account)
        return [{c.id: results.read(self.of(p.stage), c.id) for c in p.runs} for p in parts]

    def _ordered(self, jobs: Sequence[Job], session: Session) -> list[Job]:
        """The jobs of a stage, and those of the graphs that they are the first to call."""
        kinds = {job.stepping.kind for job in jobs}
        if kinds <= session.kinds:
            return longest_first(jobs)
        session.kinds |= kinds
        return schedule(jobs, self.num_workers())

    def session(self) -> Session:
        """The executor, whose workers serve all stages of all rounds, where they can."""
        return Session(EXECUTORS[self.executor].stays)

    def _perform(self, out: Path, waiting: deque[Job]) -> Generator[Event, None, None]:
        there = msgspec.structs.replace(self.cluster, out=str(out.resolve()))
        return EXECUTORS[self.executor].perform(waiting, self.num_workers(), there)

    def num_workers(self) -> int:
        """How many jobs are performed at once. Raises InputError where there is no such place."""
        return EXECUTORS[self.executor].machine(self.workers, self.cluster).num_workers

    def forget(self, runs: Sequence[RunConfig], stages: Sequence[Stage]) -> None:
        """Remove the checkpoints of runs that have ended."""
        for stage in stages:
            for config in runs if stage.until is not None else ():
                results.remove(self.of(stage), "weights", config.id)

    def _jobs(self, part: Part) -> Iterator[Job]:
        """The stacks of a part that are not recorded to their last run."""
        out, device = self.of(part.stage), str(default_device())
        for stack in stacks({config.id: config for config in part.runs}.values()):
            if all(results.status(out, config.id) is not None for config in stack):
                continue
            yield Job(
                tuple(stack),
                self.study,
                tuple(str(Path(file).resolve()) for file in self.plugins),
                device,
                Needs(gpus=0 if device == "cpu" else 1),
                part.steppings.of(stack),
                Path.cwd(),
                until=part.stage.until,
                start=() if part.since is None else paused(self.of(part.since), stack),
                conclude=self.conclude if part.stage.until is None else pausing,
            )
