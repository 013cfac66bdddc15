"""One stack of runs: train, evaluate and record it."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from vaebench import ops, results
from vaebench.config import RunConfig, plugin_fingerprint
from vaebench.config.build import load_data, subject
from vaebench.config.run_config import PROTOCOL
from vaebench.core.errors import InputError, first_line
from vaebench.core.plugins import load_plugins
from vaebench.data import Dataset, is_path
from vaebench.evaluation import Evaluation, evaluate
from vaebench.evaluation.images import grid_png
from vaebench.evaluation.samples.extractors import EXTRACTORS
from vaebench.models import VAE, select, weights
from vaebench.results import Labels, Metric, Record, Training
from vaebench.running.environment import describe
from vaebench.running.events import Compiled, FileOf, OfJob, Recorded, Steps
from vaebench.training.checkpoints import Checkpoint
from vaebench.training.isolation import check_isolated
from vaebench.training.loop import Trained, training
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import EAGER, LIKE, WAYS, WHY, Stepping

LOG = logging.getLogger("vaebench.running.job")
SETTLED = ("done", "diverged")
"""Statuses of runs that are not trained again, and whose records are not replaced."""


@dataclass(frozen=True)
class Needs:
    """What a job takes of the machine that it runs on."""

    cores: int = 1
    gpus: int = 0
    run_bytes: int = 0
    """Bytes of memory for each of its runs; 0 where that is not known."""


Conclude = Callable[["Job", Trained, Sequence[int], Sequence[RunConfig], Dataset], Iterator[OfJob]]
"""(job, trained stack, the runs of it that are left, their configurations with paths of this
process, data) -> files and records of these runs. A function that workers can import."""


@dataclass(frozen=True)
class Job:
    """A stack of runs with all that a worker needs to do it, on this machine or another.

    Or a graph to be compiled before stacks call it: then there are no runs.
    """

    configs: tuple[RunConfig, ...]
    study: str
    plugins: tuple[str, ...] = ()
    device: str = "cpu"
    needs: Needs = Needs()
    stepping: Stepping = EAGER
    cwd: Path = Path()
    """The folder that the configurations' relative paths start from."""
    root: Path = Path("/")
    """Where this machine has the files of the coordinator's file system: see `parcel`."""
    until: int | None = None
    """The step after which training pauses; None: it goes to its end."""
    start: tuple[bytes, ...] = ()
    """A checkpoint for each of the runs that go on from where they paused: see `paused`."""
    conclude: Conclude | None = None
    """What is done with runs that did not diverge; None: they are graded in full."""
    graph_of: RunConfig | None = None
    """A run whose graph is to be compiled."""
    deaths: int = 0
    """Workers that died with these runs."""


def perform(job: Job) -> Iterator[OfJob]:
    """Train and evaluate every run of a job; a run that raises is recorded as failed.

    Where a stack of several raises, each run is tried alone, so that only the culprit fails; where
    it runs out of memory, each half.
    """
    if job.graph_of is None:
        yield from _tried(job, set())
    else:
        _compile(job, job.graph_of)
        yield Compiled()


def _compile(job: Job, config: RunConfig) -> None:
    """Compile the graph of runs like this one. What stops that, the runs say themselves."""
    from vaebench.training.stepping.compiled import compile_graph

    try:
        load_plugins(job.plugins)
        _check_plugins([config])
        here = _rooted(config, job)
        compile_graph(here, load_data(here.data))
    except Exception as error:
        LOG.info("no graph of %s: %s", config.variant, first_line(error))


def failures(job: Job, reason: str) -> Iterator[Recorded]:
    """Every run of a job as failed, with the reason."""
    for config in job.configs:
        yield recorded(job, config, "failed", reason=reason)


def divided(job: Job, max_size: int) -> list[Job]:
    """The same runs in jobs of at most so many, of nearly equal size."""
    num_parts = -(-len(job.configs) // max_size)
    ends = [len(job.configs) * i // num_parts for i in range(num_parts + 1)]
    return [_part(job, range(first, end)) for first, end in itertools.pairwise(ends)]


def without(job: Job, ended: Collection[str]) -> Job:
    """The job without the runs of these ids."""
    return _part(job, [i for i, config in enumerate(job.configs) if config.id not in ended])


def _part(job: Job, runs: Sequence[int]) -> Job:
    start = tuple(job.start[i] for i in runs) if job.start else ()
    return replace(job, configs=tuple(job.configs[i] for i in runs), start=start)


def paused(out: Path, configs: Sequence[RunConfig]) -> tuple[bytes, ...]:
    """Where each of these runs paused: its weights in a results folder are then a checkpoint.

    Raises InputError where one is not there.
    """
    return tuple(results.read_weights(out, results.read(out, config.id)) for config in configs)


def _tried(job: Job, recorded: set[str]) -> Iterator[OfJob]:
    """Do in one stack what of a job is not recorded, then in smaller ones where that raised."""
    job = without(job, recorded)
    parts: list[Job] = []
    try:
        for event in _performed(job) if job.configs else ():
            if isinstance(event, Recorded):
                recorded.add(event.record.run)
            yield event
    except Exception as error:
        if len(job.configs) > 1:
            half = -(-len(job.configs) // 2)
            parts = divided(job, half if _is_of_memory(error) else 1)
        else:
            yield from failures(job, traceback.format_exc(limit=-1, chain=False))
    for part in parts:  # here, as the error holds what the stack had in memory
        yield from _tried(part, recorded)


def _is_of_memory(error: Exception) -> bool:
    """Whether an error says that memory has run out: Python's, a GPU's, or torch's on a CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "can't allocate memory" in str(error)
    )


def _performed(job: Job) -> Iterator[OfJob]:
    load_plugins(job.plugins)
    torch.set_num_threads(job.needs.cores)
    _check_plugins(job.configs)
    configs = [_rooted(config, job) for config in job.configs]
    dataset, device = load_data(configs[0].data), torch.device(job.device)
    check_isolated(configs, dataset, device)
    ops.forget_paths()
    ops.note(WHY, job.stepping.why)
    ops.note(LIKE, job.configs[0].stack_key)
    start = [Checkpoint.from_bytes(content) for content in job.start]
    way = _way(job.stepping.way)
    steps = training(configs, dataset, device, way, start=start, until=job.until)
    while True:
        try:
            yield Steps(next(steps))
        except StopIteration as ended:
            trained: Trained = ended.value
            break
    for i, step in enumerate(trained.diverged_at):
        if step is not None:
            reason = f"the loss was not finite at step {step}"
            curves = trained.curves[i]
            yield recorded(job, job.configs[i], "diverged", reason=reason, curves=curves)
    kept = [i for i, step in enumerate(trained.diverged_at) if step is None]
    if kept:
        yield from (job.conclude or graded_in_full)(job, trained, kept, configs, dataset)


def graded_in_full(
    job: Job, trained: Trained, kept: Sequence[int], configs: Sequence[RunConfig], dataset: Dataset
) -> Iterator[OfJob]:
    """The weights of the runs that did not diverge, then their grades.

    In this order, as a grading that crashes must not cost the training.
    """
    model = select(trained.model, kept)
    digests = {}
    for position, i in enumerate(kept):
        content = weights(select(model, [position]))
        digests[i] = results.digest(content)
        yield FileOf(job.configs[i].id, "weights", content)
    each = _evaluated(model, dataset, [configs[i] for i in kept])
    for i, (evaluation, position, failure) in zip(kept, each, strict=True):
        config = job.configs[i]
        history = history_of(job, trained, i)
        if evaluation is None:
            yield recorded(job, config, "failed", reason=failure, **history)
            continue
        metrics = results.metrics(evaluation.grades, position)
        if reason := lost(metrics):
            yield recorded(job, config, "diverged", reason=reason, **history)
            continue
        yield from files(config.id, evaluation, position, dataset)
        yield recorded(job, config, "done", metrics=metrics, weights=digests[i], **history)


@functools.cache
def _way(name: str) -> MakeBlocks:
    """The way to take steps; kept for the later jobs of a worker, which need not compile again."""
    return WAYS[name]()


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


def within_root(path: Path) -> Path:
    """A path of the coordinator's, without the / that it begins with in full."""
    return Path(os.path.abspath(path)).relative_to("/")


def _rooted(config: RunConfig, job: Job) -> RunConfig:
    """The configuration with the paths of files as they are for this process.

    Records keep the paths as they were written, since those are part of a run's identity.
    """
    if job.root == Path("/") and job.cwd.resolve() == Path.cwd():
        return config

    def here(name: str) -> str:
        return str(job.root / within_root(job.cwd / name))

    data, evaluate = config.data, config.evaluate
    if is_path(data.name):
        data = msgspec.structs.replace(data, name=here(data.name))
    if evaluate.extractor not in EXTRACTORS:
        evaluate = msgspec.structs.replace(evaluate, extractor=here(evaluate.extractor))
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


def files(run: str, evaluation: Evaluation, position: int, dataset: Dataset) -> Iterator[FileOf]:
    """What lies beside a run's record: sample images, and the values of single examples."""
    png = grid_png(evaluation.images[position], dataset.image_shape, dataset.greys)
    yield FileOf(run, "samples", png)
    examples = results.parts(evaluation.grades, position)
    yield FileOf(run, "examples", results.pack_examples(examples))


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
