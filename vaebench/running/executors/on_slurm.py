"""Jobs as arrays of a SLURM cluster, by submitit. The extra `slurm` brings it.

A task of an array has the runs of a few stacks. It stacks them anew for the machine that it is on,
performs them in worker processes there, and writes each record into the results folder, which all
machines must see. What has become of a task is told by the records, never by its own result.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vaebench import results
from vaebench.core.errors import InputError, first_line
from vaebench.running.choosing import kinds_of_graphs
from vaebench.running.cluster import NO_CLUSTER, Cluster, Slurm
from vaebench.running.coordinate import Account, carry_out
from vaebench.running.events import Begun, Event, Lost, Recorded
from vaebench.running.executors.entry import executor
from vaebench.running.executors.local import run_local
from vaebench.running.job import SETTLED, Job, without
from vaebench.running.machine import Machine, num_cores, this_machine
from vaebench.running.plan import plan
from vaebench.running.schedule import schedule

LOOK_S = 2.0
"""Seconds between looks at the records."""
LENT = ("PREEMPTED", "NODE_FAIL")
"""States of a task that lost its machine, to another user's or to a fault of the machine's."""
SETTLE_S = 60.0
"""Seconds that a record of a task that has ended may take to be seen: as long as a network file
system may keep what it knows of a folder."""


@dataclass
class Task:
    """A task of an array, and since when it has ended."""

    submitted: Any
    jobs: Sequence[Job]
    ended_at: float | None = None

    def is_over(self) -> bool:
        """Whether it ended so long ago that all of its records would be seen by now."""
        if self.ended_at is None and self.submitted.done():
            self.ended_at = time.monotonic()
        return self.ended_at is not None and time.monotonic() >= self.ended_at + SETTLE_S


def machine(num_workers: int | None, cluster: Cluster) -> Machine:
    """What a task asks for. It has stacks of the default size, which it makes anew."""
    slurm = cluster.slurm
    device = torch.device("cuda" if slurm.gpus else "cpu")
    return Machine(device, 1, slurm.cores, slurm.memory_gb * 2**30)


@executor(name="slurm", machine=machine, stays=False, reads=("slurm",))
def run_on_slurm(
    waiting: deque[Job], num_workers: int, cluster: Cluster
) -> Generator[Event, None, None]:
    """Perform the jobs as arrays of SLURM tasks, which write their records themselves.

    `--slurm KEY=VALUE` says what each task asks for. All machines must see the results folder, the
    data and plugins. Raises InputError where no array can be submitted here.
    """
    out = Path(cluster.out)
    submitter = _submitter(out / "slurm", cluster.slurm)
    unseen: dict[str, int] = {}
    tasks: list[Task] = []
    try:
        while waiting or tasks:
            if waiting:
                # Each task compiles the graphs that it needs, on the machine that it is on.
                jobs = [job for job in waiting if job.configs]
                waiting.clear()
                unseen |= {c.id: _stamp(out, c.id) for job in jobs for c in job.configs}
                tasks += _submitted(submitter, jobs, out, cluster.slurm)
                yield from map(Begun, jobs)
            time.sleep(LOOK_S)
            over = [task for task in tasks if task.is_over()]
            yield from _new_records(out, unseen)
            for task in over:
                for job in [job for job in task.jobs if _runs([job]) & unseen.keys()]:
                    for run in _runs([job]):
                        unseen.pop(run, None)
                    state = task.submitted.state
                    how = f"SLURM task {task.submitted.job_id} ended before, {state}"
                    yield Lost(job, how, with_machine=state in LENT)
            tasks = [task for task in tasks if _runs(task.jobs) & unseen.keys()]
    finally:
        for task in tasks:
            task.submitted.cancel()


def perform_there(jobs: Sequence[Job], out: Path, cores: int) -> None:
    """What a task does: perform its jobs on the machine that it is on, and record them."""
    settled = {run: how for run in _runs(jobs) if (how := results.status(out, run)) in SETTLED}
    account = Account(out, settled)
    left = [part for job in jobs if (part := without(job, settled)).configs]
    if left:
        stacks, num_workers = _for_this_machine(left, this_machine(min(cores, num_cores())))
        ordered = schedule(stacks, num_workers)
        carry_out(ordered, lambda waiting: run_local(waiting, num_workers, NO_CLUSTER), account)


def _for_this_machine(jobs: Sequence[Job], machine: Machine) -> tuple[list[Job], int]:
    """The same runs in stacks for this machine, and how many workers to do them in.

    Runs that cost a worker, and those of a sweep, which must be rounded alike whenever they are
    done, stay in the stacks that they are in.
    """
    device = str(machine.device)
    if any(job.conclude or job.deaths for job in jobs):
        return [replace(job, device=device) for job in jobs], machine.num_workers
    like = {job.configs[0].stack_key: job for job in jobs}
    graphs = kinds_of_graphs({key: job.stepping for key, job in like.items()})
    chosen = plan([config for job in jobs for config in job.configs], machine, graphs)
    stacks = [
        replace(
            like[s[0].stack_key],
            configs=tuple(s),
            needs=chosen.needs(s, device),
            device=device,
        )
        for s in chosen.stacks
    ]
    return stacks, chosen.num_workers


def _submitter(folder: Path, slurm: Slurm) -> Any:
    """What submits arrays. Raises InputError where submitit or SLURM is not there."""
    try:
        import submitit
    except ImportError as error:
        raise InputError("--executor slurm needs submitit: install the extra, .[slurm]") from error
    asked = {"partition": slurm.partition, "array_parallelism": slurm.at_once}
    try:
        submitter = submitit.AutoExecutor(folder, cluster=slurm.via)
    except RuntimeError as error:
        raise InputError(
            f"--executor slurm submits by sbatch, which must be on this machine; "
            f"{first_line(error)}: give the command on a login node of the cluster"
        ) from error
    submitter.update_parameters(
        name="vaebench",
        timeout_min=slurm.minutes,
        mem_gb=slurm.memory_gb,
        cpus_per_task=slurm.cores,
        gpus_per_node=slurm.gpus,
        **{f"slurm_{name}": value for name, value in asked.items() if value},
    )
    return submitter


def _submitted(submitter: Any, jobs: Sequence[Job], out: Path, slurm: Slurm) -> list[Task]:
    """An array with a task for every few jobs."""
    parts = [jobs[i : i + slurm.stacks] for i in range(0, len(jobs), slurm.stacks)]
    with submitter.batch():
        submitted = [submitter.submit(perform_there, part, out, slurm.cores) for part in parts]
    return [Task(task, part) for task, part in zip(submitted, parts, strict=True)]


def _new_records(out: Path, unseen: dict[str, int]) -> Iterator[Recorded]:
    """The records that were written since their runs were submitted; these are unseen no more."""
    for run in [run for run, stamp in unseen.items() if _stamp(out, run) != stamp]:
        with suppress(InputError):  # not yet whole, as a network file system may show it
            record = results.read(out, run)
            del unseen[run]
            yield Recorded(record)


def _runs(jobs: Sequence[Job]) -> set[str]:
    return {config.id for job in jobs for config in job.configs}


def _stamp(out: Path, run: str) -> int:
    """When a run's record was written, in nanoseconds; 0 where there is none."""
    try:
        return results.file_of(out, "runs", run).stat().st_mtime_ns
    except OSError:
        return 0
