"""Jobs in worker processes on this machine. A worker that dies costs its own job one try."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from vaebench.errors import StorageError
from vaebench.stack import Job, OnSteps, perform, record_failure

MAX_TRIES = 2
SETTINGS = {
    # Threads that spin while they wait hold up small operations by milliseconds where cores are
    # shared.
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc gives large blocks back to the system as soon as they are free, and each tensor of the
    # next step takes its pages anew: a tenth of the time of a large step.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}
"""Of a worker's environment, unless it is set otherwise."""
WORKER = "import sys; from vaebench.executors.local import serve; serve(int(sys.argv[1]))"


@dataclass
class Worker:
    """A process with the job it has, and how often that has been tried."""

    process: subprocess.Popen[bytes]
    connection: Connection
    job: Job
    tries: int


def run_local(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform the jobs in `num_workers` processes, and yield each as it ends."""
    waiting = deque((job, 1) for job in jobs)
    workers: list[Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < num_workers:
                workers.append(_hired(*waiting.popleft()))
            for connection in wait([worker.connection for worker in workers]):
                worker = next(w for w in workers if w.connection is connection)
                finished = _heard(worker, on_steps)
                if finished is None:
                    continue
                workers.remove(worker)
                if finished and waiting:
                    workers.append(_next_job(worker, *waiting.popleft()))
                else:
                    _dismiss(worker)
                if not finished and worker.tries < MAX_TRIES:
                    waiting.append((worker.job, worker.tries + 1))
                    continue
                if not finished:
                    status = worker.process.returncode
                    record_failure(worker.job, f"its worker died {MAX_TRIES} times ({status})")
                yield worker.job
    finally:
        for worker in workers:
            worker.process.kill()
            _dismiss(worker)


def serve(descriptor: int) -> None:
    """The worker's side: perform jobs until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's, who ends us
    connection = Connection(descriptor)

    def tell(message: int | str | None) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(1)  # the coordinator is gone, and nothing may be recorded in its absence

    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            perform(job, tell)
        except StorageError as error:
            tell(str(error))  # the others would fare no better: the coordinator stops all
            return
        tell(None)


def _hired(job: Job, tries: int) -> Worker:
    """A new process. Not multiprocessing's: that would import the user's script again."""
    ours, theirs = Pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env={**SETTINGS, **os.environ},
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    ours.send(job)
    return Worker(process, ours, job, tries)


def _next_job(worker: Worker, job: Job, tries: int) -> Worker:
    worker.connection.send(job)
    return Worker(worker.process, worker.connection, job, tries)


def _heard(worker: Worker, on_steps: OnSteps) -> bool | None:
    """Whether the job ended well; None where it goes on. Raises StorageError where the worker
    could not write."""
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        return False
    if message is None:
        return True
    if isinstance(message, str):
        raise StorageError(message)
    on_steps(message)
    return None


def _dismiss(worker: Worker) -> None:
    """Let a process end, which it does when its connection closes, and wait for that."""
    worker.connection.close()
    worker.process.wait()
