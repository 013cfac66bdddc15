"""Workers that a command forks off once it has imported PyTorch, which takes a process 0.8 s.

A fork takes along what the process has at the time, and of its threads only the one that forks. So
it is done by a command alone, which knows its process from the start, and before anything but
imports: there are no threads of PyTorch yet, no data, no code of the user's, no open folder. The
threads that OpenBLAS has from the import of NumPy and SciPy it ends itself before a fork.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from vaebench.core.tether import tie
from vaebench.ops.c.allocator import keep_memory
from vaebench.running.environment import default_device
from vaebench.running.executors.serving import serve

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What the command has handlers for, which are not for its workers."""


class Forked:
    """A worker that waits for its first job: what a coordinator asks of a subprocess.Popen."""

    def __init__(self, others: Sequence[Forked]) -> None:
        """`others`: those before it, whose connections it is not to keep open."""
        self.connection, theirs = Pipe()
        ours = [self.connection, *(other.connection for other in others)]
        with theirs:
            self._process = multiprocessing.get_context("fork").Process(
                target=_serve,
                args=(theirs, ours, os.getpid()),
                daemon=True,  # else a command that stops wherever it is would wait for it
            )
            self._process.start()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return self._process.exitcode

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


_ready: list[Forked] = []


def take() -> Forked | None:
    """A worker that is ready for its first job, for the caller to end; None where none is."""
    return _ready.pop() if _ready else None


@contextlib.contextmanager
def forked(num_workers: int) -> Iterator[None]:
    """Within this context so many workers are ready; those that nobody takes end with it.

    None are where a fork takes along what it should not: threads of Python, or the handle of a GPU;
    and fewer where the system refuses to fork.
    """
    is_safe = sys.platform == "linux" and threading.active_count() == 1
    try:
        if is_safe and default_device().type == "cpu":
            gc.freeze()  # no process is to look for garbage in what was imported, nor to copy it
            with _undisturbed(), contextlib.suppress(OSError):
                for _ in range(num_workers):
                    _ready.append(Forked(_ready))
        yield
    finally:
        while left := take():
            left.kill()
            left.wait()
            left.connection.close()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Within this context signals wait: a worker is to have its own handlers before one comes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, of_coordinator: Sequence[Connection], coordinator: int) -> None:
    """The worker's process from its first moment."""
    multiprocessing.current_process().daemon = False  # a daemon could have no processes itself
    for other in of_coordinator:
        other.close()
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    tie(connection.fileno(), coordinator)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    keep_memory()
    gc.enable()
    serve(connection.fileno())
