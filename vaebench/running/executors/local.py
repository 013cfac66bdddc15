"""Jobs in worker processes on this machine. A worker that dies costs its own job one try."""

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
"""Workers in a row that die before they begin a job; then no more are hired."""
CHECK_S = 1.0
"""A dead worker is seen this soon, even where a process that it forked keeps its connection."""
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
import sys
descriptor, coordinator = map(int, sys.argv[1:])
from vaebench.core.tether import tie
tie(descriptor, coordinator)
from vaebench.running.executors.local import serve
serve(descriptor)
"""
BEGUN, ENDED, REFUSED, GONE = b"begun", b"ended", b"refused ", b"gone"
LONGEST = 2000
"""Bytes of a message: BEGUN, ENDED, REFUSED and why, or a number of steps. The rest is a fault."""


@dataclass
class Worker:
    """A process with the job it has."""

    process: subprocess.Popen[bytes]
    connection: Connection
    attempt: Attempt
    has_begun: bool = False


@executor(name="local")
def run_local(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform the jobs in `num_workers` processes, and yield each as it ends."""
    waiting = deque(map(Attempt, jobs))
    workers: list[Worker] = []
    num_unbegun, how = 0, ""
    try:
        while waiting or workers:
            while waiting and len(workers) < num_workers and num_unbegun < MAX_STARTS:
                try:
                    workers.append(_hired(waiting[0]))
                    waiting.popleft()
                except OSError as error:
                    num_unbegun, how = num_unbegun + 1, str(error)
            if not workers:
                yield from _given_up(waiting, how)
            for worker in _with_news(workers):
                has_ended = _heard(worker, on_steps)
                attempt, has_begun = worker.attempt, worker.has_begun
                num_unbegun = 0 if has_begun else num_unbegun
                if has_ended is None:
                    continue
                if has_ended and waiting and not waiting[0].apart:
                    _give(worker, waiting.popleft())
                else:
                    how = _ending(_dismissed(worker) if has_ended else _buried(worker))
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
            _buried(worker)
            results.discard_unfinished(worker.attempt.job.out, worker.process.pid)


def serve(descriptor: int) -> None:
    """The worker's side: perform jobs until there is none."""
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


def _hired(attempt: Attempt) -> Worker:
    """A new process. Not multiprocessing's: that would import the user's script again."""
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
    with contextlib.suppress(OSError):  # it is dead, which is seen when it is heard
        worker.connection.send(attempt.job)


def _with_news(workers: Sequence[Worker]) -> list[Worker]:
    """The workers that have said something, or are dead. Waits for the first."""
    while workers:
        ready = wait([worker.connection for worker in workers], CHECK_S)
        news = [w for w in workers if w.connection in ready or w.process.poll() is not None]
        if news:
            return news
    return []


def _heard(worker: Worker, on_steps: OnSteps) -> bool | None:
    """True where the job ended, False where the worker did, None where it goes on.

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
    """The next one; GONE where there is none, or one that broke off."""
    try:
        return worker.connection.recv_bytes(LONGEST) if worker.connection.poll() else GONE
    except (EOFError, OSError):
        return GONE


def _dismissed(worker: Worker) -> int:
    """Let a process end; its status."""
    with contextlib.suppress(OSError):
        worker.connection.send(None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(LEAVE_S)
    return _buried(worker)


def _buried(worker: Worker) -> int:
    """The status of a process that is no more, by our hand if need be."""
    worker.process.kill()
    worker.connection.close()
    return worker.process.wait()


def _ending(status: int) -> str:
    """A process's status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _given_up(waiting: deque[Attempt], how: str) -> Iterator[Job]:
    """No process that could do them can be had: the jobs that are left fail."""
    while waiting:
        job = waiting.popleft().job
        record_failure(job, f"no worker could begin it: {MAX_STARTS} in a row ended first ({how})")
        yield job
