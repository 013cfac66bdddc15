"""One stack of runs: train, evaluate and record it."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from vaebench import ops as kernels
from vaebench import results
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
from vaebench.training.isolation import check_isolated
from vaebench.training.loop import Trained, train
from vaebench.training.stepping.auto import COMPILE

OnSteps = Callable[[int], None]
"""Called with the number of training steps done since the last call, summed over runs."""


SETTLED = ("done", "diverged")
"""How a run has ended that is not trained again, and whose record is never replaced by a worker."""


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
    """Of `auto.COMPILE`: whether steps are compiled."""
    cwd: Path = Path()
    """The folder that the configurations' relative paths start from."""


def perform(job: Job, on_steps: OnSteps) -> None:
    """Train, evaluate and record every run of the job; what raises is recorded as failed.

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
    """A row with its reason for every run of a job that could not be done."""
    for run in range(len(job.configs)):
        _write(job, run, "failed", reason=reason)


def _perform(job: Job, on_steps: OnSteps) -> None:
    _check_plugins(job.configs)
    configs = [_rooted(config, job.cwd) for config in job.configs]
    dataset, device = load_data(configs[0].data), torch.device(job.device)
    check_isolated(configs, dataset, device)
    kernels.forget_paths()
    trained = train(configs, dataset, device, on_steps, COMPILE[job.compiles])
    ours = unsettled(job)  # another worker may have been thought dead, and was not
    kept = [i for i, step in enumerate(trained.diverged_at) if step is None]
    kept = [i for i in kept if job.configs[i] in ours]
    for i, step in enumerate(trained.diverged_at):
        if step is not None:
            reason = f"the loss was not finite at step {step}"
            _write(job, i, "diverged", reason=reason, curves=trained.curves[i])
    if not kept:
        return
    model = select(trained.model, kept)
    # Before they are graded: training is not to be lost by what grading does.
    digests = {
        i: results.write_weights(job.out, job.configs[i].id, weights(select(model, [position])))
        for position, i in enumerate(kept)
    }
    each = _evaluated(model, dataset, [configs[i] for i in kept])
    for i, (evaluation, position, failure) in zip(kept, each, strict=True):
        history = {"curves": trained.curves[i], "training": _training(job.configs[i], trained, i)}
        if evaluation is None:
            _write(job, i, "failed", reason=failure, **history)
            continue
        metrics = results.metrics(evaluation.grades, position)
        if reason := lost(metrics):
            _write(job, i, "diverged", reason=reason, **history)
            continue
        keep(job.out, job.configs[i].id, evaluation, position, dataset)
        _write(job, i, "done", metrics=metrics, weights=digests[i], **history)


def _training(config: RunConfig, trained: Trained, run: int) -> Training | None:
    """What the record says of how a run ended."""
    ending = trained.endings[run]
    if ending is None:
        return None
    return Training(ending.steps, config.train.num_steps, ending.kept)


def _rooted(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration with its files found from anywhere. Records keep the paths as they were
    written, since those are part of a run's identity."""
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
    """For each run an evaluation and its place in it, or why it has none.

    Where a stack raises, each run is graded alone, so that only the culprit fails.
    """
    try:
        found = evaluate(subject(model, dataset, configs), configs[0].evaluate.wanted)
    except Exception:
        if len(configs) == 1:
            yield None, 0, traceback.format_exc(limit=-1, chain=False)
        else:
            for i, config in enumerate(configs):
                yield from _evaluated(select(model, [i]), dataset, [config])
        return
    for i in range(len(configs)):
        yield found, i, ""


def lost(metrics: Sequence[Metric]) -> str:
    """Which figures of a run are not finite, in words; "" where all are."""
    names = [m.metric for m in metrics if not math.isfinite(m.value or 0.0)]
    return f"not finite on held-out data: {', '.join(names)}" if names else ""


def keep(out: Path, run: str, evaluation: Evaluation, position: int, dataset: Dataset) -> None:
    """Write what lies beside a run's record: sample images, and what its figures are means of."""
    png = grid_png(evaluation.images[position], dataset.image_shape, dataset.greys)
    results.write_atomically(results.file_of(out, "samples", run), png)
    results.write_examples(out, run, results.parts(evaluation.grades, position))


def _check_plugins(configs: Sequence[RunConfig]) -> None:
    """Raises InputError where this process has other code than the runs are named by."""
    for config in configs:
        loaded = plugin_fingerprint(config)
        if config.plugin and loaded != config.plugin:
            raise InputError(
                f"plugins must have fingerprint {config.plugin!r}; they have {loaded!r}: a file "
                f"of theirs was edited after the study was read. Run the study again"
            )


def labels(config: RunConfig, seed: int | None) -> Labels:
    """The words by which the tables know a run."""
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


def _write(job: Job, run: int, status: results.Status, **contents: Any) -> None:
    config = job.configs[run]
    if results.status(job.out, config.id) in SETTLED:
        return
    record = Record(
        run=config.id,
        study=job.study,
        labels=labels(config, config.seed),
        status=status,
        config=msgspec.to_builtins(config),
        operations=kernels.paths(),
        environment=describe(job.device),
        **contents,
    )
    results.write(job.out, record)
