"""The training loop: S runs that differ in seed and scalars, side by side, never mixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, outputs_at_mean, streams
from vaebench.core.memory import keep_freed_memory
from vaebench.data import Dataset
from vaebench.models import VAE, put_back, select
from vaebench.objectives import OBJECTIVES
from vaebench.ops.adam import Moments
from vaebench.training.averaged import graded
from vaebench.training.checkpoints import Checkpoint, checkpoints, resume
from vaebench.training.curves import Curve, Ending, Log, Step
from vaebench.training.descent import Descent
from vaebench.training.minibatches import batches
from vaebench.training.progress import AT_START, Progress
from vaebench.training.scalars import adam_scalars, scalars
from vaebench.training.step import MakeBlocks, initial_state, loss_of
from vaebench.training.stepping.eager import eager


@dataclass(frozen=True)
class Trained:
    """A stack after training. A run that stopped early, or diverged, has a shorter curve."""

    model: VAE
    curves: tuple[Curve, ...]
    diverged_at: tuple[int | None, ...]
    """The step at which the loss of a run became NaN or infinite; None where it did not."""
    endings: tuple[Ending | None, ...]
    """None for a run that diverged."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """For each run of a stack that paused, what it goes on from; none for one that has ended."""


@dataclass(frozen=True)
class Advance:
    """What training has done since it last said so."""

    steps: int
    """Steps, summed over runs; those that a leaving run does not take count as done."""
    points: Mapping[int, Mapping[str, float]]
    """The new point of the learning curve of each run, by its place in the stack."""


def training_steps(
    model: VAE,
    configs: Sequence[RunConfig],
    dataset: Dataset,
    make_blocks: MakeBlocks = eager,
    start: Progress = AT_START,
    at_once: int = 1,
) -> Iterator[Step[Progress]]:
    """Train a stack: each item is a block of steps, up to the next multiple of `at_once`."""
    keep_freed_memory()
    first = configs[0]
    objective = OBJECTIVES[first.objective.name]
    place = next(model.parameters())
    scalars_at = scalars(configs, place)
    state = start.state or initial_state(objective, len(configs), place)
    loss = loss_of(first, dataset)
    limits = torch.tensor([c.train.max_grad_norm or math.inf for c in configs]).to(place)
    averaged = any(config.train.ema for config in configs)
    values = [parameter.detach() for parameter in model.parameters()]
    second = [config.train.second_moment for config in configs]
    moments = start.moments or Moments.at_start(values, averaged, second)
    descent = Descent(model, adam_scalars(configs), limits, moments)
    take = make_blocks(model, loss, descent, first.train.num_steps - start.index)
    noise = streams(configs, "train")

    for block in batches(configs, dataset, place, start.index, at_once):
        of_steps = [scalars_at(index) for index in block.steps]
        losses, measured, norms, state = take(block, noise.at(step=block.first), of_steps, state)
        progress = Progress(block.steps.stop, descent.moments, state)
        yield Step(block.steps[-1], losses, measured, norms, progress)


def train(
    configs: Sequence[RunConfig],
    dataset: Dataset,
    device: torch.device,
    on_steps: Callable[[int], None] = lambda steps: None,
    make_blocks: MakeBlocks = eager,
    *,
    start: Sequence[Checkpoint] = (),
    until: int | None = None,
) -> Trained:
    """Train a stack to the end: see `training`. `on_steps` is called with the steps done."""
    steps = training(configs, dataset, device, make_blocks, start=start, until=until)
    while True:
        try:
            on_steps(next(steps).steps)
        except StopIteration as ended:
            return ended.value


def training(
    configs: Sequence[RunConfig],
    dataset: Dataset,
    device: torch.device,
    make_blocks: MakeBlocks = eager,
    *,
    start: Sequence[Checkpoint] = (),
    until: int | None = None,
) -> Generator[Advance, None, Trained]:
    """Train a stack to the end. A run that diverges or stops early leaves it; the others go on
    as if it had never been there. The model has the weights that each run keeps.

    `until`: pause after so many steps, which must be a point of the learning curve. `start`: where
    each run of the stack paused before. In between, any of them may leave the stack for good: the
    others' numbers differ from those of a stack without a pause by rounding at most, and not at
    all where none left.

    Yields at each point of the learning curve, and once more for steps after the last one.
    """
    start_of_outputs = outputs_at_mean(configs[0], dataset)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume, start_of_outputs)
    model = model.to(device)
    log = Log(configs, dataset, until)
    progress = resume(start, model, log) if start else AT_START
    runs = [run for run in range(len(configs)) if log.goes_on(run)]
    part = model if len(runs) == len(configs) else select(model, runs)
    while runs and progress.index != until:
        remaining = [configs[i] for i in runs]
        steps = training_steps(part, remaining, dataset, make_blocks, progress, log.every)
        for step in steps:
            left, leaves = log.steps_left, log.runs_leave(step, part, runs)
            if log.steps_left < left:
                yield Advance(left - log.steps_left, {run: log.point(run) for run in runs})
            progress = step.progress
            if leaves:
                break
        else:
            break
        staying = [position for position, run in enumerate(runs) if log.goes_on(run)]
        part_of_all, part = part, select(part, staying)
        put_back(model, graded(part_of_all, progress, remaining, dataset), runs)
        progress, runs = progress.of(staying), [runs[position] for position in staying]
    put_back(model, part, runs)
    paused = () if until is None else checkpoints(model, log, runs, progress)
    put_back(model, graded(part, progress, [configs[i] for i in runs], dataset), runs)
    if log.steps_left:  # those after the last point
        yield Advance(log.steps_left, {})
    log.finish(model)
    everyone = range(len(configs))
    diverged_at = tuple(log.diverged_at.get(run) for run in everyone)
    endings = tuple(map(log.ending, everyone))
    return Trained(model, tuple(log.curves), diverged_at, endings, paused)
