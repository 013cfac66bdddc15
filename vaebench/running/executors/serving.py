"""A worker's side: it performs the jobs that come through a connection, and sends their events."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from vaebench.ops import c
from vaebench.running.job import Job
from vaebench.running.perform import perform

BEGUN, ENDED = "begun", "ended"
"""What a worker says of its job, beside the events of it."""


def serve(descriptor: int) -> None:
    """Perform jobs, one after another, until the coordinator sends None: a worker's main loop.

    That there is no native code on this machine its coordinator says, once for all workers.
    """
    connection = Connection(descriptor)
    c.LOG.setLevel(logging.ERROR)

    def tell(message: Any) -> None:
        with _ending_with_coordinator():
            connection.send_bytes(pickle.dumps(message))

    def next_job() -> Job | None:
        with _ending_with_coordinator():
            return connection.recv()

    while (job := next_job()) is not None:
        tell(BEGUN)
        for event in perform(job):
            tell(event)
        tell(ENDED)


@contextlib.contextmanager
def _ending_with_coordinator() -> Iterator[None]:
    """End this process, without a word, where the coordinator turns out to be gone."""
    try:
        yield
    except (OSError, EOFError):
        os._exit(1)
