"""Jobs in worker processes on this machine; one that dies costs its own job one attempt."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from vaebench import results
from vaebench.core.errors import StorageError
from vaebench.running.executors.attempts import Attempt, after_death
from vaebench.running.executors.entry import executor
from vaebench.running.job import Job, OnSteps, perform, record_failure

MAX_STARTS = 3
"""Workers in a row that may die before they begin a job; then no more are started."""
CHECK_S = 1.0
"""Seconds between looks for dead workers: a process that one forked keeps its connection open."""
LEAVE_S = 10.0
"""Seconds that a dismissed worker has for leaving; then it is killed."""
SETTINGS = {
    # Threads that spin while they wait hold up small operations by milliseconds where cores are
    # shared.
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc gives large blocks back to the system as soon as they are free, and each tensor of the
    # next step takes its pages anew: a tenth of the time of a large step.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}
"""Variables of a worker's environment, unless the user sets them otherwise."""
WORKER = """
import gc, sys
descriptor, coordinator = map(int, sys.argv[1:])
from vaebench.core.tether import tie
tie(descriptor, coordinator)
gc.disable()
from vaebench.running.executors.local import serve
gc.freeze()
gc.enable()
serve(descriptor)
"""
"""A worker's process. What it imports stays to its end: garbage is not looked for in it while it is
imported, nor at each collection afterwards, nor, for half a second, when the process ends."""
BEGUN, ENDED, REFUSED, GONE = b"begun", b"ended", b"refused ", b"gone"
LONGEST = 2000
"""Bytes of a message at most: BEGUN, ENDED, REFUSED with the reason, or a number of steps."""


@dataclass
class Worker:
    """A worker process, and the job that it works on."""

    process: subprocess.Popen[bytes]
    connection: Connection
    attempt: Attempt
    has_begun: bool = False


@executor(name="local")
def run_local(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform the jobs in `num_workers` processes, and yield each as it ends."""
    waiting = deque(map(Attempt, jobs))
    workers: list[Worker] = []
    num_unbegun, how = 0, ""  # workers in a row that died before they began, and the last one's end
    try:
        while waiting or workers:
            while waiting and len(workers) < num_workers and num_unbegun < MAX_STARTS:
                try:
                    workers.append(_started(waiting[0]))
                    waiting.popleft()
                except OSError as error:
                    num_unbegun, how = num_unbegun + 1, str(error)
            if not workers:
                yield from _given_up(waiting, how)
            for worker in _ready(workers):
                has_ended = _received(worker, on_steps)
                attempt, has_begun = worker.attempt, worker.has_begun
                num_unbegun = 0 if has_begun else num_unbegun
                if has_ended is None:
                    continue
                if has_ended and waiting and not waiting[0].apart:
                    _give(worker, waiting.popleft())
                else:
                    how = _in_words(_ended(worker) if has_ended else _reaped(worker))
                    workers.remove(worker)
                if not has_begun:  # nothing is charged to the job
                    num_unbegun += 1
                    waiting.appendleft(attempt)
                    continue
                if not has_ended:
                    results.discard_unfinished(attempt.job.out, worker.process.pid)
                    waiting.extend(after_death(attempt, how))
                yield attempt.job
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            _reaped(worker)
            results.discard_unfinished(worker.attempt.job.out, worker.process.pid)


def serve(descriptor: int) -> None:
    """Perform jobs, one after another, until the coordinator sends None: a worker's main loop."""
    connection = Connection(descriptor)

    def tell(message: bytes) -> None:
        try:
            connection.send_bytes(message)
        except OSError:
            os._exit(1)  # the coordinator is gone, and nothing may be recorded in its absence

    while (job := connection.recv()) is not None:
        tell(BEGUN)
        try:
            perform(job, lambda steps: tell(b"%d" % steps))
        except StorageError as error:  # the others would fare no better: the coordinator ends all
            tell(REFUSED + str(error).encode()[: LONGEST - len(REFUSED)])
            return
        tell(ENDED)


def _started(attempt: Attempt) -> Worker:
    """Start a process with its first job.

    Not by multiprocessing, which would import the user's script again.
    """
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**SETTINGS, **os.environ},
            stdin=subprocess.DEVNULL,
        )
    worker = Worker(process, ours, attempt)
    _give(worker, attempt)
    return worker


def _give(worker: Worker, attempt: Attempt) -> None:
    worker.attempt, worker.has_begun = attempt, False
    with contextlib.suppress(OSError):  # it is dead, as the lack of a message will show
        worker.connection.send(attempt.job)


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


def _received(worker: Worker, on_steps: OnSteps) -> bool | None:
    """Read a worker's message: True where its job ended, False where it died, None where it works.

    Raises StorageError where the worker could not record what it did.
    """
    message = _message(worker)
    if message.startswith(REFUSED):
        raise StorageError(message.removeprefix(REFUSED).decode(errors="replace"))
    if message == ENDED:
        return True
    if message == BEGUN:
        worker.has_begun = True
    elif message.isdigit():
        on_steps(int(message))
    else:
        return False
    return None


def _message(worker: Worker) -> bytes:
    """A worker's next message; GONE where it sent none, or died while it was sending."""
    try:
        return worker.connection.recv_bytes(LONGEST) if worker.connection.poll() else GONE
    except (EOFError, OSError):
        return GONE


def _ended(worker: Worker) -> int:
    """Let a worker end by itself; returns its exit status."""
    with contextlib.suppress(OSError):
        worker.connection.send(None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(LEAVE_S)
    return _reaped(worker)


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


def _given_up(waiting: deque[Attempt], how: str) -> Iterator[Job]:
    """Record the jobs that are left as failed: no worker process could be started for them."""
    while waiting:
        job = waiting.popleft().job
        record_failure(job, f"no worker could begin it: {MAX_STARTS} in a row ended first ({how})")
        yield job
