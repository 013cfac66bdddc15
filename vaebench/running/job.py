"""One stack of runs: train, evaluate and record it."""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from vaebench import ops, results
from vaebench.config import RunConfig, plugin_fingerprint
from vaebench.config.build import load_data, subject
from vaebench.core.errors import InputError, StorageError
from vaebench.core.plugins import load_plugins
from vaebench.data import Dataset, is_path
from vaebench.evaluation import Evaluation, evaluate
from vaebench.evaluation.images import grid_png
from vaebench.evaluation.samples.extractors import EXTRACTORS
from vaebench.models import VAE, select, weights
from vaebench.results import Labels, Metric, Record, Training
from vaebench.running.environment import describe
from vaebench.training.checkpoints import Checkpoint
from vaebench.training.isolation import check_isolated
from vaebench.training.loop import Trained, train
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import COMPILE

OnSteps = Callable[[int], None]
"""Called with the number of training steps done since the last call, summed over runs."""


SETTLED = ("done", "diverged")
"""Statuses of runs that are not trained again, and whose records no worker replaces."""


Conclude = Callable[["Job", Trained, Sequence[int], Sequence[RunConfig], Dataset], None]
"""(job, trained stack, the runs of it that are left, their configurations with paths of this
process, data): grade and record these runs. A function that workers can import."""


@dataclass(frozen=True)
class Job:
    """A stack of runs with all that a worker needs to do it, on this machine or another."""

    configs: tuple[RunConfig, ...]
    out: Path
    study: str
    plugins: tuple[str, ...] = ()
    device: str = "cpu"
    num_threads: int = 1
    compiles: str = "auto"
    """Whether steps are compiled: a name of `ways.COMPILE`."""
    cwd: Path = Path()
    """The folder that the configurations' relative paths start from."""
    until: int | None = None
    """The step after which training pauses; None: it goes to its end."""
    since: Path | None = None
    """The results folder whose weights are the checkpoints that training goes on from."""
    conclude: Conclude | None = None
    """What is done with runs that did not diverge; None: they are graded in full and recorded."""


def perform(job: Job, on_steps: OnSteps) -> None:
    """Train, evaluate and record every run of a job; a run that raises is recorded as failed.

    Where a stack of several raises, each run is tried alone, so that only the culprit fails. Runs
    that are settled already are left as they are.
    """
    job = replace(job, configs=unsettled(job))
    if not job.configs:
        return
    try:
        load_plugins(job.plugins)
        torch.set_num_threads(job.num_threads)
        _perform(job, on_steps)
    except StorageError:
        raise  # no fault of the runs: nothing is said of those that could not be recorded
    except Exception:
        if len(job.configs) > 1:
            for config in job.configs:
                perform(replace(job, configs=(config,)), on_steps)
        else:
            record_failure(job, traceback.format_exc(limit=-1, chain=False))


def unsettled(job: Job) -> tuple[RunConfig, ...]:
    """The runs of the job that are not recorded as done or diverged."""
    return tuple(c for c in job.configs if results.status(job.out, c.id) not in SETTLED)


def record_failure(job: Job, reason: str) -> None:
    """Record every run of a job as failed, with the reason."""
    for run in range(len(job.configs)):
        write(job, run, "failed", reason=reason)


def _perform(job: Job, on_steps: OnSteps) -> None:
    _check_plugins(job.configs)
    configs = [_rooted(config, job.cwd) for config in job.configs]
    dataset, device = load_data(configs[0].data), torch.device(job.device)
    check_isolated(configs, dataset, device)
    ops.forget_paths()
    start = [] if job.since is None else [_checkpoint(job.since, c.id) for c in job.configs]
    way = _way(job.compiles)
    trained = train(configs, dataset, device, on_steps, way, start=start, until=job.until)
    for i, step in enumerate(trained.diverged_at):
        if step is not None:
            reason = f"the loss was not finite at step {step}"
            write(job, i, "diverged", reason=reason, curves=trained.curves[i])
    # A worker that was taken for dead may have recorded some of the runs meanwhile.
    still_unsettled = unsettled(job)
    kept = [
        i
        for i, step in enumerate(trained.diverged_at)
        if step is None and job.configs[i] in still_unsettled
    ]
    if kept:
        (job.conclude or graded_in_full)(job, trained, kept, configs, dataset)


def _checkpoint(out: Path, run: str) -> Checkpoint:
    """Where a run paused. Raises InputError where that is not there."""
    return Checkpoint.from_bytes(results.read_weights(out, results.read(out, run)))


def graded_in_full(
    job: Job, trained: Trained, kept: Sequence[int], configs: Sequence[RunConfig], dataset: Dataset
) -> None:
    """Write the weights of the runs that did not diverge, then grade and record them.

    In this order, as a grading that crashes must not cost the training.
    """
    model = select(trained.model, kept)
    digests = {
        i: results.write_weights(job.out, job.configs[i].id, weights(select(model, [position])))
        for position, i in enumerate(kept)
    }
    each = _evaluated(model, dataset, [configs[i] for i in kept])
    for i, (evaluation, position, failure) in zip(kept, each, strict=True):
        history = history_of(job, trained, i)
        if evaluation is None:
            write(job, i, "failed", reason=failure, **history)
            continue
        metrics = results.metrics(evaluation.grades, position)
        if reason := lost(metrics):
            write(job, i, "diverged", reason=reason, **history)
            continue
        keep(job.out, job.configs[i].id, evaluation, position, dataset)
        write(job, i, "done", metrics=metrics, weights=digests[i], **history)


@functools.cache
def _way(name: str) -> MakeBlocks:
    """The way to take steps; kept for the later jobs of a worker, which need not compile again."""
    return COMPILE[name]()


def history_of(job: Job, trained: Trained, run: int) -> dict[str, Any]:
    """The curves of a run, and how far it was trained: fields of its record."""
    training = _training(job.configs[run], trained, run)
    return {"curves": trained.curves[run], "training": training}


def _training(config: RunConfig, trained: Trained, run: int) -> Training | None:
    """How many steps a run took and which weights it kept; None for one that diverged."""
    ending = trained.endings[run]
    if ending is None:
        return None
    return Training(ending.steps, config.train.num_steps, ending.kept)


def _rooted(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration with paths that start from a folder, whatever this process's own is.

    Records keep the paths as they were written, since those are part of a run's identity.
    """
    if folder.resolve() == Path.cwd():
        return config
    data, evaluate = config.data, config.evaluate
    if is_path(data.name):
        data = msgspec.structs.replace(data, name=str(folder / data.name))
    if evaluate.extractor not in EXTRACTORS:
        evaluate = msgspec.structs.replace(evaluate, extractor=str(folder / evaluate.extractor))
    return msgspec.structs.replace(config, data=data, evaluate=evaluate)


def _evaluated(
    model: VAE, dataset: Dataset, configs: Sequence[RunConfig]
) -> Iterator[tuple[Evaluation | None, int, str]]:
    """For each run its evaluation and its position in that, or why it has none.

    Where a stack raises, each run is graded alone, so that only the culprit fails.
    """
    try:
        evaluation = evaluate(subject(model, dataset, configs), configs[0].evaluate.wanted)
    except Exception:
        if len(configs) == 1:
            yield None, 0, traceback.format_exc(limit=-1, chain=False)
        else:
            for i, config in enumerate(configs):
                yield from _evaluated(select(model, [i]), dataset, [config])
        return
    for i in range(len(configs)):
        yield evaluation, i, ""


def lost(metrics: Sequence[Metric]) -> str:
    """Which metrics of a run are not finite, in words; "" where all are."""
    names = [m.metric for m in metrics if not math.isfinite(m.value or 0.0)]
    return f"not finite on held-out data: {', '.join(names)}" if names else ""


def keep(out: Path, run: str, evaluation: Evaluation, position: int, dataset: Dataset) -> None:
    """Write what lies beside a run's record: sample images, and the values of single examples."""
    png = grid_png(evaluation.images[position], dataset.image_shape, dataset.greys)
    results.write_atomically(results.file_of(out, "samples", run), png)
    results.write_examples(out, run, results.parts(evaluation.grades, position))


def _check_plugins(configs: Sequence[RunConfig]) -> None:
    """Raises InputError where a plugin file differs from the one that the runs' ids are made of."""
    for config in configs:
        loaded = plugin_fingerprint(config)
        if config.plugin and loaded != config.plugin:
            raise InputError(
                f"plugins must have fingerprint {config.plugin!r}; they have {loaded!r}: a file "
                f"of theirs was edited after the study was read. Run the study again"
            )


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


def write(job: Job, run: int, status: results.Status, **contents: Any) -> None:
    """Record a run of a job, unless it is settled already."""
    config = job.configs[run]
    if results.status(job.out, config.id) in SETTLED:
        return
    record = Record(
        run=config.id,
        study=job.study,
        labels=labels(config, config.seed),
        status=status,
        config=msgspec.to_builtins(config),
        operations=ops.paths(),
        environment=describe(job.device),
        **contents,
    )
    results.write(job.out, record)
