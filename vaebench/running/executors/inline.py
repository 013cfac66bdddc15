"""Jobs in this process, one after another: for debuggers and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from vaebench.core.timing import threads
from vaebench.running.executors.entry import executor
from vaebench.running.job import Job, OnSteps, perform


@executor(name="inline")
def run_inline(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform each job in this process, which is the one worker, whatever number is asked for."""
    for job in jobs:
        with threads(torch.get_num_threads()):  # the job sets its own number
            perform(job, on_steps)
        yield job
