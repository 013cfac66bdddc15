"""Jobs on a Ray cluster, or on one that Ray starts on this machine. The extra `ray` brings it."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vaebench.core.errors import InputError, StorageError
from vaebench.running.executors.attempts import Attempt, after_death
from vaebench.running.executors.entry import executor
from vaebench.running.job import Job, OnSteps, perform, record_failure

REACH_S = 10.0
"""Seconds in which a cluster's address must answer."""


@executor(name="ray")
def run_on_ray(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform the jobs as Ray tasks. The output folder must be one that every node sees.

    They go to the cluster that $RAY_ADDRESS names or that runs on this machine; where there is
    none, to one of `num_workers` that Ray starts here. Ray decides how many run at once. Raises
    InputError where Ray is not installed, or its cluster cannot be joined.
    """
    ray = _joined(num_workers * jobs[0].num_threads)
    gpus = 1 if jobs[0].device.startswith("cuda") else 0
    task = ray.remote(num_cpus=jobs[0].num_threads, num_gpus=gpus, max_retries=0)(_perform)
    with _marked(jobs[0].out) as mark:
        running = {task.remote(job, mark): Attempt(job) for job in jobs}
        try:
            while running:
                (ended, *_), _ = ray.wait(list(running))
                attempt = running.pop(ended)
                for again in _after(ray, ended, attempt, on_steps):
                    running[task.remote(again.job, mark)] = again
                yield attempt.job
        finally:
            for each in running:
                ray.cancel(each, force=True)


def _joined(num_cpus: int) -> Any:
    """The module `ray`, connected to a cluster. Raises InputError where it cannot be."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--executor ray needs Ray: install the extra, .[ray]") from error

    if ray.is_initialized():
        return ray
    _check_reachable(os.environ.get("RAY_ADDRESS", ""))
    options: dict[str, Any] = {
        "log_to_driver": False,
        "include_dashboard": False,
        "logging_level": logging.WARNING,
    }
    if folder := os.environ.get("VAEBENCH_DATA"):
        options["runtime_env"] = {"env_vars": {"VAEBENCH_DATA": str(Path(folder).resolve())}}
    try:
        with _keeping_signals():
            try:
                ray.init(num_cpus=num_cpus, **options)
            except ValueError:  # there is a cluster, whose size is not ours to say
                ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the Ray cluster that was started last on this machine must be within reach; {error}: "
            f"start it again, or let `ray stop` forget it"
        ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Raises InputError where nothing listens at HOST:PORT; Ray would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:
        return  # "auto", "local", or nothing: Ray looks for itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"the Ray cluster of RAY_ADDRESS must be within reach; {address}: {error}: start it, "
            f"or unset RAY_ADDRESS"
        ) from error


@contextmanager
def _keeping_signals() -> Iterator[None]:
    """Put back our handler of SIGTERM: Ray's own ends the program as if all were well."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _marked(out: Path) -> Iterator[Path]:
    """A file in the output folder by which a node knows that it sees the same folder."""
    mark = out / f".{secrets.token_hex(8)}.ray"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _after(ray: Any, ended: Any, attempt: Attempt, on_steps: OnSteps) -> list[Attempt]:
    """The attempts that follow after a task ended, well or not."""
    try:
        steps = ray.get(ended)
        if isinstance(steps, str):
            raise StorageError(steps)
        on_steps(steps)
    except ray.exceptions.RayTaskError as error:
        record_failure(attempt.job, str(error.cause or error))
    except ray.exceptions.RayError as error:
        return after_death(attempt, f"{type(error).__name__}: {error}")
    return []


def _perform(job: Job, mark: Path) -> int | str:
    """Perform a whole job, on the node that Ray chose.

    Returns the number of steps it took, as progress cannot be sent on the way, or why its results
    could not be written. Raises InputError where the node does not see the output folder.
    """
    if not mark.exists():
        raise InputError(
            f"every node must see the output folder; {platform.node()} does not see {job.out}: "
            f"choose an --out on a disk that all nodes share"
        )
    counts: list[int] = []
    try:
        perform(job, counts.append)
    except StorageError as error:
        return str(error)
    return sum(counts)
