"""What an executor is, and the decorator that registers it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from vaebench.core.registry import Registry, named_arguments
from vaebench.running.cluster import Cluster
from vaebench.running.events import Event
from vaebench.running.job import Job
from vaebench.running.machine import Machine, this_machine

Perform = Callable[[deque[Job], int, Cluster], Generator[Event, None, None]]
"""(waiting jobs, number of workers, options) -> what comes of the jobs.

It takes jobs from the left of the deque, and ends when that is empty and no job runs. Whoever reads
the events may add jobs, as after one was lost; it alone writes to the results folder. A job that
has cost a worker its life is given to one that has done nothing else.
"""


Survey = Callable[[int | None, Cluster], Machine]
"""(number of workers that the user asks for, options) -> where the jobs are to run."""


def here(num_workers: int | None, cluster: Cluster) -> Machine:
    """This machine, as the place where jobs run."""
    return this_machine(num_workers)


Ahead = Callable[[int], AbstractContextManager[None]]
"""A number of workers -> a context within which as many are ready before there are jobs."""


def none_ahead(num_workers: int) -> AbstractContextManager[None]:
    """No worker is ready before there are jobs."""
    return nullcontext()


@dataclass(frozen=True)
class Executor:
    """One entry of the registry: a place where jobs run."""

    name: str
    perform: Perform
    machine: Survey
    """Stacks are planned for it."""
    stays: bool = True
    """Whether its workers can take jobs of other results folders once they have done these."""
    reads: tuple[str, ...] = ()
    """The fields of `Cluster` that are for it."""
    ahead: Ahead = none_ahead
    """For a command that has only imported so far: see `forked`."""


EXECUTORS: Registry[Executor] = Registry("executor")
Function = TypeVar("Function", bound=Perform)


@named_arguments
def executor(
    *,
    name: str,
    machine: Survey = here,
    stays: bool = True,
    reads: tuple[str, ...] = (),
    ahead: Ahead = none_ahead,
) -> Callable[[Function], Function]:
    """Register the decorated function under this name, by which `--executor` chooses it.

    `machine`: tells where its jobs run. `stays`, `reads`, `ahead`: see Executor.
    """

    def register(function: Function) -> Function:
        EXECUTORS.add(name, Executor(name, function, machine, stays, reads, ahead))
        return function

    return register
