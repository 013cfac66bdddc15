"""What an executor is, and the decorator that registers it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from vaebench.core.registry import Registry, named_arguments
from vaebench.running.cluster import Cluster
from vaebench.running.events import Event
from vaebench.running.job import Job

Perform = Callable[[deque[Job], int, Cluster], Generator[Event, None, None]]
"""(waiting jobs, number of workers, options) -> what comes of the jobs.

It takes jobs from the left of the deque, and ends when that is empty and no job runs. Whoever reads
the events may add jobs, as after one was lost; it alone writes to the results folder. A job that
has cost a worker its life is given to one that has done nothing else.
"""


@dataclass(frozen=True)
class Executor:
    """One entry of the registry: a place where jobs run."""

    name: str
    perform: Perform


EXECUTORS: Registry[Executor] = Registry("executor")
Function = TypeVar("Function", bound=Perform)


@named_arguments
def executor(*, name: str) -> Callable[[Function], Function]:
    """Register the decorated function under this name, by which `--executor` chooses it."""

    def register(function: Function) -> Function:
        EXECUTORS.add(name, Executor(name, function))
        return function

    return register
