"""What comes of jobs: the stream from those who perform them to the one process that records.

`perform` yields steps, files and records. An executor passes them on, and says besides which job
was begun and which was lost with its worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaebench.results import Record

if TYPE_CHECKING:
    from vaebench.running.job import Job


@dataclass(frozen=True)
class Steps:
    """Training steps that were done since the last such event, summed over runs."""

    count: int
    points: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """The new points of the learning curve of each run, by the run's id."""


@dataclass(frozen=True)
class FileOf:
    """A file that lies beside a run's record: its weights, samples, exhibits or examples."""

    run: str
    part: str
    content: bytes


@dataclass(frozen=True)
class Recorded:
    """A run has ended, one way or another. Its files came before."""

    record: Record


@dataclass(frozen=True)
class Begun:
    """A worker has begun a job."""

    job: Job


@dataclass(frozen=True)
class Lost:
    """A worker ended before it had recorded all runs of its job."""

    job: Job
    how: str
    with_machine: bool = False
    """Whether its machine was lost too, as one that is lent for a while: no fault of the job's, as
    far as is known."""


@dataclass(frozen=True)
class Compiled:
    """A graph that stacks will call is on disk, or could not be made, as they will say."""

    kind: str
    """What the runs share that have this graph: see `training.kind`."""


OfJob = Steps | FileOf | Recorded | Compiled
Event = OfJob | Begun | Lost
