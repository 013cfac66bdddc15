"""Jobs on a Ray cluster, or on one that Ray starts on this machine. The extra `ray` brings it.

A job is a task that streams what comes of it, so that this process alone writes, and no node needs
the output folder.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from vaebench import __version__
from vaebench.core.errors import InputError, first_line
from vaebench.running.cluster import Cluster
from vaebench.running.events import Begun, Event, Lost, OfJob
from vaebench.running.executors.entry import executor
from vaebench.running.executors.local import SETTINGS
from vaebench.running.job import Job
from vaebench.running.machine import Machine, num_cores, this_machine
from vaebench.running.parcel import DATA, Parcel, moved, pack, unpacked
from vaebench.running.perform import perform

REACH_S = 4.0
"""Seconds in which a cluster's head must take a connection, and as many to answer."""
LOOK_S = 1.0
"""Seconds between looks for a head that is gone."""
GONE_S = 10.0
"""Seconds without an answer after which it is: Ray would wait for a minute, and end the process."""
QUEUED = 2
"""Tasks that wait for a free place on the cluster, so that none is idle between two."""
PASSED_ON = ("VAEBENCH_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "MALLOC_", "TORCH", "TRITON_")
"""How variables begin that a worker on a node has as one on this machine would."""
PASSED_ON_TOO = ("XDG_CACHE_HOME", "CC")
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What begins an HTTP/2 connection (RFC 9113, 3.4), over which a Ray head speaks; its answer begins
with a frame of the same type, 4."""


def machine(num_workers: int | None, cluster: Cluster) -> Machine:
    """The smallest node of the cluster: of those with GPUs, where there are any.

    One node of each kind tells what it finds, once. Raises InputError where one cannot.
    """
    ray = joined(cluster.ray_address, num_workers or num_cores())
    kinds = Counter(kind for node in ray.nodes() if node["Alive"] and (kind := _kind(node)).cores)
    if not kinds:
        raise InputError("a Ray cluster must have nodes with cores; it has none: start some")
    if any(kind.gpus for kind in kinds):
        kinds = Counter({kind: count for kind, count in kinds.items() if kind.gpus})
    for kind in kinds.keys() - _probed.keys():
        _probed[kind] = _probe(ray, kind)
    machines = [_probed[kind] for kind in kinds]
    return Machine(
        machines[0].device,
        sum(_probed[kind].num_workers * count for kind, count in kinds.items()),
        min(machine.cores for machine in machines),
        min(machine.worker_bytes for machine in machines),
    )


class Kind(NamedTuple):
    """What Ray says of a node, by which nodes are alike."""

    cores: int
    gpus: int
    memory_gb: int


_probed: dict[Kind, Machine] = {}
"""What a node of each kind has found; a process is connected to one cluster."""


def _kind(node: Any) -> Kind:
    resources = node["Resources"]
    numbers = (resources.get(name, 0) for name in ("CPU", "GPU", "memory"))
    cores, gpus, memory = (int(number) for number in numbers)
    return Kind(cores, gpus, memory >> 30)


def _probe(ray: Any, kind: Kind) -> Machine:
    """What a node of this kind finds."""
    node = next(n["NodeID"] for n in ray.nodes() if n["Alive"] and _kind(n) == kind)
    there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    share = 0.01 if kind.gpus else 0  # sees a GPU, and takes none from others
    task = ray.remote(num_cpus=0, num_gpus=share, max_retries=0, scheduling_strategy=there)
    try:
        seen: Machine = ray.get(task(this_machine).remote(None if kind.gpus else kind.cores))
    except ray.exceptions.RayError as error:
        raise InputError(
            f"each node of the Ray cluster must be able to run vaebench; {_in_words(error)}: "
            f"install it there, in the version that is here"
        ) from error
    return replace(seen, num_workers=kind.gpus or kind.cores)


@executor(name="ray", machine=machine)
def run_on_ray(
    waiting: deque[Job], num_workers: int, cluster: Cluster
) -> Generator[Event, None, None]:
    """Perform the jobs as Ray tasks, each where its cores, GPU and memory are free.

    They go to the cluster of `--ray-address`, of $RAY_ADDRESS, or that runs on this machine; where
    there is none, to one of `num_workers` that Ray starts here. Raises InputError where Ray is not
    installed, or its cluster cannot be joined, or is gone.
    """
    ray = joined(cluster.ray_address, num_workers * waiting[0].needs.cores)
    head = Head(ray.get_runtime_context().gcs_address)
    parcel = ray.put(_packed(waiting))
    running: dict[Any, Job] = {}
    try:
        while waiting or running:
            head.check(at_once=bool(waiting))
            while waiting and head.is_there and len(running) < _most(ray, waiting[0]):
                job = waiting.popleft()
                running[_submitted(ray, job, parcel)] = job
            if not running:
                time.sleep(LOOK_S)
                continue
            ready, _ = ray.wait(list(running), timeout=LOOK_S, fetch_local=False)
            for task in ready:
                try:
                    yield ray.get(next(task))
                except StopIteration:
                    del running[task]
                except ray.exceptions.RayError as error:
                    yield Lost(running.pop(task), _in_words(error))
    finally:
        for task in running:
            ray.cancel(task, force=True)


def joined(address: str, num_cpus: int) -> Any:
    """The module `ray`, connected to a cluster. Raises InputError where it cannot be."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--executor ray needs Ray: install the extra, .[ray]") from error

    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS", "") or _started_last()
    _check_address(address)
    options: dict[str, Any] = {
        "address": address or None,
        "log_to_driver": False,
        "include_dashboard": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": environment()},
    }
    try:
        with _keeping_signals():
            try:
                ray.init(num_cpus=num_cpus, **options)
            except ValueError:  # there is a cluster, whose size is not ours to say
                ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the Ray cluster must take this process; {first_line(error)}: see its logs"
        ) from error
    return ray


def _started_last() -> str:
    """The address of the cluster that was started last on this machine; "" where none was."""
    from ray._private.utils import read_ray_address

    return read_ray_address() or ""


def environment() -> dict[str, str]:
    """The variables of a worker's environment that a worker on this machine would have."""
    named = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PASSED_ON) or name in PASSED_ON_TOO
    }
    return {**SETTINGS, **named}


class Head:
    """The head of a cluster, without which tasks run on, but none is begun and none found."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.last_seen = self.last_asked = time.monotonic()

    @property
    def is_there(self) -> bool:
        """Whether it answered when it was last asked: else Ray's own questions wait for minutes."""
        return self.last_seen == self.last_asked

    def check(self, at_once: bool) -> None:
        """Ask it, or only now and then. Raises InputError where it is silent for long."""
        now = time.monotonic()
        if not at_once and now - self.last_asked < LOOK_S:
            return
        self.last_asked = now
        try:
            answers(self.address, LOOK_S)
            self.last_seen = now
        except OSError as error:
            if now - self.last_seen > GONE_S:
                raise InputError(
                    f"the head of the Ray cluster must stay; {self.address} is gone ({error}): "
                    f"start it again and give the same command, which goes on from the records"
                ) from error


def answers(address: str, seconds: float) -> None:
    """Raises OSError where no Ray head answers at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), seconds) as connection:
        connection.sendall(GREETING)
        if connection.recv(9)[3:4] != GREETING[-6:-5]:
            raise OSError("what listens there is no Ray head")


def _check_address(address: str) -> None:
    """Raises InputError where no Ray answers; Ray itself would try for minutes."""
    if "://" in address:
        raise InputError(
            f"the address of a Ray cluster is HOST:PORT of its head, as tasks do not stream to a "
            f"Ray client; got {address!r}: leave out {address.partition('://')[0]}://, the port is "
            f"6379 unless `ray start` was given another"
        )
    if ":" not in address:
        return  # "auto", "local", or nothing: Ray looks for itself
    try:
        answers(address, REACH_S)
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"a Ray cluster must answer at {address!r}; {error}: start it, correct --ray-address "
            f"or RAY_ADDRESS, or let `ray stop` forget one that was started on this machine"
        ) from error


@contextmanager
def _keeping_signals() -> Iterator[None]:
    """Put back our handler of SIGTERM: Ray's own ends the program as if all were well."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _most(ray: Any, job: Job) -> int:
    """How many tasks to have on the cluster at once: those that run, and a few that wait."""
    total = ray.cluster_resources()
    places = total.get("GPU", 0) if job.needs.gpus else total.get("CPU", 0) // job.needs.cores
    return int(places) + QUEUED


def _submitted(ray: Any, job: Job, parcel: Any) -> Any:
    """A task of the job, as a generator of references to what it yields.

    Ray is not to try it again: what follows after a loss is decided by whoever reads the events.
    """
    tried = [job.deaths, *(config.id for config in job.configs[:1])]
    fresh = {"VAEBENCH_TRY": str(tried)}  # Ray has other processes for other variables
    task = ray.remote(
        num_returns="streaming",
        max_retries=0,
        num_cpus=job.needs.cores,
        num_gpus=job.needs.gpus,
        memory=job.needs.run_bytes * len(job.configs) or None,
        runtime_env={"env_vars": fresh} if job.deaths else None,
    )(_stream)
    return task.remote(job, parcel, __version__)


def _packed(jobs: Iterable[Job]) -> Parcel:
    """The files that the jobs of a study read."""
    first, *_ = jobs
    return pack([config for job in jobs for config in job.configs], first.plugins, first.cwd)


def _stream(job: Job, parcel: Parcel, version: str) -> Iterator[OfJob | Begun]:
    """Perform a job, on the node that Ray chose. Raises InputError where it has another version."""
    if __version__ != version:
        raise InputError(
            f"every node must have vaebench {version}; {socket.gethostname()} has {__version__}: "
            f"install the same there"
        )
    yield Begun(job)
    root = unpacked(parcel)
    os.environ["VAEBENCH_DATA"] = str(root / DATA)
    yield from perform(moved(job, root))


def _in_words(error: Any) -> str:
    """What became of a task. Raises InputError where a node is not fit for the study."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, InputError):
        raise cause
    return f"{type(error).__name__}: {first_line(cause or error)}"
