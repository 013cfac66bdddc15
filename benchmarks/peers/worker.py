"""A process for one peer: it trains and is timed while all others wait."""

from __future__ import annotations

import importlib.metadata
import inspect
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.peers.entries import Peer
from benchmarks.peers.work import Check, Prepared, Weights, Work

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NPROC": "1",  # XLA's pools of threads
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
"""Read by the runtimes when they are loaded, so set before a worker starts."""
PATIENCE_S = 5.0


class PeerError(Exception):
    """A peer cannot take part. The message says why."""


@dataclass(frozen=True)
class Start:
    """What a peer says of itself once it is warm."""

    package: str
    measured: str
    threads: float  # CPU time over wall time, before it is bound to one core
    num_steps: int  # of a lap


@dataclass(frozen=True)
class Lap:
    """The time of some steps of all S runs."""

    wall_s: float
    cpu_s: float


@dataclass
class Session:
    """The peer's side."""

    peer: Peer
    started: float
    prepare: Callable[[Work], Prepared] = field(init=False)
    prepared: Prepared = field(init=False)

    def __post_init__(self) -> None:
        self.prepare = self.peer.load()

    def first_steps(self, work: Work) -> float:
        """Seconds from the start of the process until it has trained: import, build, compile."""
        self.prepare(work).train(work.size.block)
        return time.time() - self.started

    def trained(self, work: Work, num_steps: int) -> Weights:
        """The weights after that many steps."""
        prepared = self.prepare(work)
        prepared.train(num_steps)
        return prepared.weights()

    def checked(self, work: Work) -> Check:
        """Loss and gradient norm at the weights and the noise that all peers share."""
        check = self.prepare(work).check
        assert check, "a size is checked where all its peers can be"
        return check()

    def start(self, work: Work, lap_seconds: float) -> Start:
        """Get ready for laps of about that time."""
        self.prepared, block = self.prepare(work), work.size.block
        self.prepared.train(block)
        num_steps = block * max(1, round(lap_seconds / self.lap(block).cpu_s))
        self.prepared.train(num_steps)  # compiles what depends on their number
        warm = self.lap(num_steps)
        _pin()
        package = f"{self.peer.package} {importlib.metadata.version(self.peer.package)}"
        measured = (inspect.getdoc(self.prepare) or "").splitlines()[0]
        return Start(package, measured, warm.cpu_s / warm.wall_s, num_steps)

    def lap(self, num_steps: int) -> Lap:
        """Timed here, so that talking to the race is not in the time."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.prepared.train(num_steps)
        return Lap(time.perf_counter() - wall, time.process_time() - cpu)


class Worker:
    """The race's side of a peer's process."""

    def __init__(self, peer: Peer) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, peer, time.time()), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, method: str, *arguments: object) -> Any:
        """What that method of the peer's Session returns. Raises PeerError where it fails."""
        try:
            self.connection.send((method, arguments))
            done, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(PATIENCE_S)
            raise PeerError(f"its process ended, status {self.process.exitcode}") from error
        if not done:
            raise PeerError(answer)
        return answer

    def stop(self) -> None:
        """Hang up, which ends the process; end it where it does not."""
        self.connection.close()
        self.process.join(PATIENCE_S)
        self.process.terminate()


def _serve(connection: Connection, peer: Peer, started: float) -> None:
    """Answer until the race hangs up. What peers print, progress bars above all, is not shown."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    session: Session | None = None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            session = session or Session(peer, started)
            connection.send((True, getattr(session, method)(*arguments)))
        except Exception as error:
            connection.send((False, f"{type(error).__name__}: {error}".splitlines()[0]))


def _pin() -> None:
    """Bind every thread of this process to its last core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0))
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
