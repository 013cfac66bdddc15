"""What an executor is, and the decorator that registers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vaebench.core.registry import Registry, named_arguments
from vaebench.running.job import Job, OnSteps

Perform = Callable[[Sequence[Job], int, OnSteps], Iterator[Job]]
"""(jobs, number of workers, progress) -> each job as it ends, recorded one way or another."""


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
