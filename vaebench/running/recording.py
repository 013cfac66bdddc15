"""Makes the records of runs: how each ended, and what tables show of it; and reads them back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from vaebench import ops, results
from vaebench.config import RunConfig, convert
from vaebench.config.run_config import PROTOCOL
from vaebench.core.errors import InputError
from vaebench.results import Labels, Record, Training
from vaebench.running.environment import describe
from vaebench.running.events import Recorded
from vaebench.running.job import Job
from vaebench.training.loop import Trained


def failures(job: Job, reason: str) -> Iterator[Recorded]:
    """Every run of a job as failed, with the reason."""
    for config in job.configs:
        yield recorded(job, config, "failed", reason=reason)


def history_of(job: Job, trained: Trained, run: int) -> dict[str, Any]:
    """The curves of a run, and how far it was trained: fields of its record."""
    taken = _training(job.configs[run], trained, run)
    return {"curves": trained.curves[run], "training": taken}


def _training(config: RunConfig, trained: Trained, run: int) -> Training | None:
    """How many steps a run took and which weights it kept; None for one that diverged."""
    ending = trained.endings[run]
    if ending is None:
        return None
    return Training(ending.steps, config.train.num_steps, ending.kept)


def labels(config: RunConfig, seed: int | None) -> Labels:
    """What tables show of a run: data, likelihood, variant, settings and seed."""
    return Labels(
        dataset=config.data.label,
        likelihood=str(config.likelihood),
        objective=config.objective.name,
        hyper=msgspec.json.encode(config.objective.hyper, order="deterministic").decode(),
        variant=config.variant,
        num_samples=config.num_samples,
        observation_space=config.observation_space,
        settings=" ".join(f"{name}={value}" for name, value in config.settings.items()),
        seed=seed,
    )


def recorded(job: Job, config: RunConfig, status: results.Status, **contents: Any) -> Recorded:
    """A run of a job as ended, with these fields of its record."""
    return Recorded(
        Record(
            run=config.id,
            study=job.study,
            labels=labels(config, config.seed),
            status=status,
            config=msgspec.to_builtins(config),
            operations=ops.paths(),
            environment=describe(job.device),
            protocol=PROTOCOL,
            **contents,
        )
    )


def config_of(record: Record) -> RunConfig | None:
    """The configuration of a recorded run; None of a model from elsewhere, or another version's."""
    try:
        config: RunConfig = convert(record.config, RunConfig)
    except InputError:
        return None
    return config


def protocol_of(record: Record) -> int:
    """The protocol of a run's training; 0 where it is not known.

    Records of before do not name theirs. It is this version's where their configuration still
    gives their id, of which it is a part.
    """
    if record.protocol:
        return record.protocol
    config = config_of(record)
    return PROTOCOL if config is not None and config.id == record.run else 0
