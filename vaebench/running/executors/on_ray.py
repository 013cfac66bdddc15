"""Jobs on a Ray cluster, or on one that Ray starts on this machine. The extra `ray` brings it.

A job is a task that streams what comes of it, so that this process alone writes, and no node needs
the output folder.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from vaebench import __version__
from vaebench.core.errors import InputError, first_line
from vaebench.running.cluster import Cluster
from vaebench.running.events import Begun, Event, Lost, OfJob
from vaebench.running.executors.entry import executor
from vaebench.running.executors.ray_head import LOOK_S, Head, joined
from vaebench.running.job import Job
from vaebench.running.machine import Machine, num_cores, this_machine
from vaebench.running.parcel import DATA, Parcel, moved, pack, unpacked
from vaebench.running.perform import perform

QUEUED = 2
"""Tasks that wait for a free place on the cluster, so that none is idle between two."""


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


@executor(name="ray", machine=machine, reads=("ray_address",))
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
                    with_node = isinstance(error, ray.exceptions.NodeDiedError)
                    yield Lost(running.pop(task), _in_words(error), with_node)
    finally:
        for task in running:
            ray.cancel(task, force=True)


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
