"""Jobs in this process, one after another: for debuggers and notebooks."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

import torch

from vaebench.core.timing import threads
from vaebench.running.cluster import Cluster
from vaebench.running.events import Begun, Event
from vaebench.running.executors.entry import executor
from vaebench.running.job import Job
from vaebench.running.machine import this_machine
from vaebench.running.perform import perform


@executor(name="inline", machine=lambda num_workers, cluster: this_machine(1))
def run_inline(
    waiting: deque[Job], num_workers: int, cluster: Cluster
) -> Generator[Event, None, None]:
    """Perform each job in this process, which is the one worker, whatever number is asked for."""
    while waiting:
        job = waiting.popleft()
        yield Begun(job)
        with threads(torch.get_num_threads()):  # the job sets its own number
            yield from perform(job)
