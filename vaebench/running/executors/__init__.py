"""Where jobs run: one function per place, with one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vaebench.core.registry import Registry
from vaebench.running.executors.inline import run_inline
from vaebench.running.executors.local import run_local
from vaebench.running.executors.on_ray import run_on_ray
from vaebench.running.job import Job, OnSteps

Executor = Callable[[Sequence[Job], int, OnSteps], Iterator[Job]]
"""(jobs, number of workers, progress) -> each job as it ends, recorded one way or another."""

EXECUTORS: Registry[Executor] = Registry("executor")
EXECUTORS.add("local", run_local)
EXECUTORS.add("inline", run_inline)
EXECUTORS.add("ray", run_on_ray)

__all__ = ["EXECUTORS", "Executor"]
