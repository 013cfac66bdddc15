"""Where jobs run: one function per place, with one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vaebench.executors.inline import run_inline
from vaebench.executors.local import run_local
from vaebench.executors.on_ray import run_on_ray
from vaebench.registry import Registry
from vaebench.stack import Job, OnSteps

Executor = Callable[[Sequence[Job], int, OnSteps], Iterator[Job]]
"""(jobs, number of workers, progress) -> each job as it ends, recorded one way or another."""

EXECUTORS: Registry[Executor] = Registry("executor")
EXECUTORS.add("local", run_local)
EXECUTORS.add("inline", run_inline)
EXECUTORS.add("ray", run_on_ray)

__all__ = ["EXECUTORS", "Executor"]
