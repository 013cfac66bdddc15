"""Jobs in this process, one after another: for debuggers and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from vaebench.running.executors.entry import executor
from vaebench.running.job import Job, OnSteps, perform


@executor(name="inline")
def run_inline(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform each job here. The number of workers is one, whatever is asked for."""
    before = torch.get_num_threads()
    for job in jobs:
        try:
            perform(job, on_steps)
        finally:
            torch.set_num_threads(before)
        yield job
