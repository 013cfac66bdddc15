"""Jobs on a Ray cluster, or on one that Ray starts on this machine. The extra `ray` brings it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vaebench.errors import InputError, StorageError
from vaebench.stack import Job, OnSteps, perform, record_failure


def run_on_ray(jobs: Sequence[Job], num_workers: int, on_steps: OnSteps) -> Iterator[Job]:
    """Perform the jobs as Ray tasks. The output folder must be one that every node sees.

    Ray decides how many run at once; `num_workers` is the size of a cluster that it has to start.
    Raises InputError where Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--executor ray needs Ray: install the extra, .[ray]") from error

    if not ray.is_initialized():
        ray.init(
            num_cpus=num_workers * jobs[0].num_threads, include_dashboard=False, log_to_driver=False
        )
    gpus = 1 if jobs[0].device.startswith("cuda") else 0
    remote = ray.remote(num_cpus=jobs[0].num_threads, num_gpus=gpus, max_retries=1)(_perform)
    running = {remote.remote(job): job for job in jobs}
    while running:
        (done, *_), _ = ray.wait(list(running))
        job = running.pop(done)
        try:
            steps = ray.get(done)
            if isinstance(steps, str):
                raise StorageError(steps)
            on_steps(steps)
        except ray.exceptions.RayError as error:
            record_failure(job, f"its Ray task died: {error}")
        yield job


def _perform(job: Job) -> int | str:
    """On the node: the whole job; returns the steps it took, since progress cannot be sent, or why
    its results could not be written."""
    counts: list[int] = []
    try:
        perform(job, counts.append)
    except StorageError as error:
        return str(error)
    return sum(counts)
