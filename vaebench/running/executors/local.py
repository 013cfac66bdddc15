"""Jobs in worker processes on this machine; one that dies costs its own job one attempt."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from vaebench.core.settings import VARIABLES
from vaebench.ops import c
from vaebench.running.cluster import Cluster
from vaebench.running.environment import visible_gpus
from vaebench.running.events import Begun, Event, Lost
from vaebench.running.executors.entry import executor
from vaebench.running.executors.forked import Forked, forked, take
from vaebench.running.executors.serving import BEGUN, ENDED
from vaebench.running.job import Job
from vaebench.running.recording import failures

MAX_STARTS = 3
"""Workers in a row that may die before they begin a job; then no more are started."""
CHECK_S = 1.0
"""Seconds between looks for dead workers: a process that one forked keeps its connection open."""
LEAVE_S = 10.0
"""Seconds that a dismissed worker has for leaving; then it is killed."""
WORKER = """
import gc, os, sys
descriptor, coordinator = map(int, sys.argv[1:])
from vaebench.core.tether import tie
tie(descriptor, coordinator)
gc.disable()
from vaebench.running.executors.serving import serve
gc.freeze()
gc.enable()
serve(descriptor)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""
"""A worker's process. What it imports stays to its end: garbage is not looked for in it while it
is imported, nor at each collection afterwards. Nor is the process taken apart when it ends, which
takes 0.1 s, and 1 s where graphs were compiled."""
GONE = "gone"
"""In the place of a message from a worker that is dead."""


@dataclass
class Worker:
    """A worker process, and the job that it works on."""

    process: subprocess.Popen[bytes] | Forked
    connection: Connection
    job: Job
    gpu: str | None
    """The one GPU that it sees; None where the study trains without."""
    has_begun: bool = False
    is_idle: bool = False
    """Whether it waits for a job that whoever reads the events may add: while others work."""


@executor(name="local", ahead=forked)
def run_local(
    waiting: deque[Job], num_workers: int, cluster: Cluster
) -> Generator[Event, None, None]:
    """Perform the jobs in `num_workers` processes on this machine, one for each GPU at most."""
    c.library()  # where there is none, this process says it, and no worker
    on_gpus = bool(waiting) and waiting[0].needs.gpus > 0
    gpus: list[str | None] = [*visible_gpus()] if on_gpus else [None] * num_workers
    gpus = gpus[:num_workers]
    workers: list[Worker] = []
    num_unbegun, how = 0, ""  # workers in a row that died before they began, and the last one's end
    try:
        while waiting or workers:
            leaving = _dismissed(workers, waiting, bool(gpus))
            for worker in leaving:
                _dismiss(worker)
            for worker in leaving:
                workers.remove(worker)
                gpus.append(worker.gpu)
                _left(worker)
            for worker in workers:
                if worker.is_idle and waiting and not waiting[0].deaths:
                    _give(worker, waiting.popleft())
            while waiting and gpus and num_unbegun < MAX_STARTS:
                try:
                    workers.append(_started(waiting[0], gpus[0]))
                    del waiting[0], gpus[0]
                except OSError as error:
                    num_unbegun, how = num_unbegun + 1, str(error)
            if waiting and not workers:
                yield from _given_up(waiting, how)
            for worker in _ready(workers):
                message = _message(worker)
                if message == BEGUN:
                    worker.has_begun, num_unbegun = True, 0
                    yield Begun(worker.job)
                elif message not in (ENDED, GONE):
                    yield message
                elif message == ENDED and waiting and not waiting[0].deaths:
                    _give(worker, waiting.popleft())
                elif message == ENDED:
                    worker.is_idle = True
                else:
                    workers.remove(worker)
                    gpus.append(worker.gpu)
                    how = _in_words(_reaped(worker))
                    if worker.is_idle:
                        continue  # its job has ended
                    if worker.has_begun:
                        yield Lost(worker.job, how)
                    else:  # nothing is charged to the job
                        num_unbegun += 1
                        waiting.appendleft(worker.job)
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            _reaped(worker)


def _started(job: Job, gpu: str | None) -> Worker:
    """Start a process with its first job: one that is ready, where that need not see one GPU."""
    ready = take() if gpu is None else None
    worker = Worker(ready, ready.connection, job, gpu) if ready else _opened(job, gpu)
    _give(worker, job)
    return worker


def _opened(job: Job, gpu: str | None) -> Worker:
    """A new process. Not by multiprocessing, which would import the user's script again."""
    ours, theirs = Pipe()
    pinned = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**VARIABLES, **os.environ, **pinned},
            stdin=subprocess.DEVNULL,
        )
    return Worker(process, ours, job, gpu)


def _dismissed(workers: Sequence[Worker], waiting: deque[Job], has_room: bool) -> list[Worker]:
    """The idle workers that are to leave: all once nothing is at work or waits, and one where a job
    waits that needs a process of its own."""
    idle = [worker for worker in workers if worker.is_idle]
    if not waiting:
        return idle if len(idle) == len(workers) else []
    return idle[:1] if waiting[0].deaths and not has_room else []


def _give(worker: Worker, job: Job) -> None:
    worker.job, worker.has_begun, worker.is_idle = job, False, False
    with contextlib.suppress(OSError):  # it is dead, as the lack of a message will show
        worker.connection.send(job)


def _ready(workers: Sequence[Worker]) -> list[Worker]:
    """The workers that have sent a message or are dead; waits until there is one."""
    while workers:
        ready = wait([worker.connection for worker in workers], CHECK_S)
        ready_or_dead = [
            w for w in workers if w.connection in ready or w.process.poll() is not None
        ]
        if ready_or_dead:
            return ready_or_dead
    return []


def _message(worker: Worker) -> Any:
    """A worker's next message; GONE where it sent none, or died while it was sending."""
    try:
        return worker.connection.recv() if worker.connection.poll() else GONE
    except Exception:  # there is no list of what bytes that are no message make pickle raise
        return GONE


def _dismiss(worker: Worker) -> None:
    with contextlib.suppress(OSError):
        worker.connection.send(None)


def _left(worker: Worker) -> None:
    """Wait until a dismissed worker has ended by itself; kill one that does not."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(LEAVE_S)
    _reaped(worker)


def _reaped(worker: Worker) -> int:
    """The exit status of a worker that has ended, or is killed here."""
    worker.process.kill()
    worker.connection.close()
    return worker.process.wait()


def _in_words(status: int) -> str:
    """How a process ended, in words, from its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _given_up(waiting: deque[Job], how: str) -> Iterator[Event]:
    """The jobs that are left, as failed: no worker process could be started for them."""
    reason = f"no worker could begin it: {MAX_STARTS} in a row ended first ({how})"
    while waiting:
        yield from failures(waiting.popleft(), reason)
