"""Which runs to try again after the worker that had them died, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vaebench.running.job import Job, record_failure, unsettled

MAX_TRIES = 2
"""Workers that may die with one run alone before that run is recorded as failed."""


@dataclass(frozen=True)
class Attempt:
    """A job, and what has happened to the workers that had it."""

    job: Job
    deaths: int = 0
    """Workers that died after they had begun it."""
    apart: bool = False
    """Whether a worker died with it: it then gets a process that has done nothing else."""


def after_death(attempt: Attempt, how: str) -> list[Attempt]:
    """The attempts that follow after a worker died with a job.

    Runs that are settled are not trained again. Each of the others is tried alone, so that only
    the culprit fails; one that was alone and has had its tries is recorded as failed.
    """
    left = unsettled(attempt.job)
    alone = [replace(attempt.job, configs=(config,)) for config in left]
    if len(attempt.job.configs) > 1:
        return [Attempt(job, apart=True) for job in alone]
    deaths = attempt.deaths + 1
    if deaths < MAX_TRIES:
        return [Attempt(job, deaths, apart=True) for job in alone]
    for job in alone:
        record_failure(job, f"its worker died {MAX_TRIES} times with this run alone ({how})")
    return []
