"""The work of a job: a stack of runs is trained, graded and recorded, or a graph compiled."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import torch

from vaebench import ops
from vaebench.config import RunConfig, plugin_fingerprint
from vaebench.config.build import load_data
from vaebench.core.errors import InputError, first_line
from vaebench.core.plugins import load_plugins
from vaebench.data import is_path
from vaebench.evaluation.samples.extractors import EXTRACTORS
from vaebench.running.events import Compiled, OfJob, Recorded, Steps
from vaebench.running.grading import graded_in_full
from vaebench.running.job import Job, divided, without
from vaebench.running.recording import failures, recorded
from vaebench.training.checkpoints import Checkpoint
from vaebench.training.isolation import check_isolated
from vaebench.training.loop import Advance, Trained, training
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import LIKE, WAYS, WHY

TOLD_EVERY_S = 0.1
"""Seconds between two messages of a stack about its steps: whoever reads them has other work."""
LOG = logging.getLogger("vaebench.running.perform")


def perform(job: Job) -> Iterator[OfJob]:
    """Train and evaluate every run of a job; a run that raises is recorded as failed.

    Where a stack of several raises, each run is tried alone, so that only the culprit fails; where
    it runs out of memory, each half.
    """
    if job.graph_of is None:
        yield from _tried(job, set())
    else:
        _compile(job, job.graph_of)
        yield Compiled(job.stepping.kind)


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
    way = _make_blocks(WAYS[job.stepping.way])
    steps = training(configs, dataset, device, way, start=start, until=job.until)
    trained = yield from _steps_told(job, steps)
    for i, step in enumerate(trained.diverged_at):
        if step is not None:
            reason = f"the loss was not finite at step {step}"
            curves = trained.curves[i]
            yield recorded(job, job.configs[i], "diverged", reason=reason, curves=curves)
    kept = [i for i, step in enumerate(trained.diverged_at) if step is None]
    if kept:
        yield from (job.conclude or graded_in_full)(job, trained, kept, configs, dataset)


def _steps_told(
    job: Job, training: Generator[Advance, None, Trained]
) -> Generator[Steps, None, Trained]:
    """Train to the end; what was done is told every TOLD_EVERY_S seconds, and at the end."""
    count, points, last = 0, defaultdict[str, list[Mapping[str, float]]](list), time.monotonic()
    while True:
        try:
            advance = next(training)
        except StopIteration as ended:
            trained: Trained = ended.value
            break
        count += advance.steps
        for run, point in advance.points.items():
            points[job.configs[run].id].append(point)
        if time.monotonic() - last >= TOLD_EVERY_S:
            yield Steps(count, dict(points))
            count, last = 0, time.monotonic()
            points.clear()
    if count:
        yield Steps(count, dict(points))
    return trained


@functools.cache
def _make_blocks(way: Callable[[], MakeBlocks]) -> MakeBlocks:
    """The blocks of a way; kept for the later jobs of a worker, which need not compile again.

    Kept by the way itself, as another one may be registered under its name.
    """
    return way()


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


def _check_plugins(configs: Sequence[RunConfig]) -> None:
    """Raises InputError where a plugin file differs from the one that the runs' ids are made of."""
    for config in configs:
        loaded = plugin_fingerprint(config)
        if config.plugin and loaded != config.plugin:
            raise InputError(
                f"plugins must have fingerprint {config.plugin!r}; they have {loaded!r}: a file "
                f"of theirs was edited after the study was read. Run the study again"
            )
