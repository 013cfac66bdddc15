"""Jobs in this process, one after another: for debuggers and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vaebench.stack import Job, OnSteps, perform


def run_inline(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform each job here. The number of workers is one, whatever is asked for."""
    for job in jobs:
        perform(job, on_steps)
        yield job
