"""The training loop: S runs that differ in seed and scalars, side by side, never mixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from vaebench.batches import batches
from vaebench.config import RunConfig
from vaebench.curves import Curve, Log, Step
from vaebench.data import Dataset
from vaebench.initial import build_stack, streams
from vaebench.memory import keep_freed_memory
from vaebench.models import VAE, put_back, select
from vaebench.objectives import OBJECTIVES
from vaebench.optimise import AdamScalars, Moments, StackAdam, clip_gradients
from vaebench.step import EagerStep, Loss, MakeStep, Scalars, State
from vaebench.trajectories import trajectories, trajectory


@dataclass(frozen=True)
class Progress:
    """How far a stack has come: with its weights, all that the next step needs."""

    index: int = 0
    moments: Moments | None = None
    state: State | None = None

    def of(self, runs: Sequence[int]) -> Progress:
        """That of some runs of the stack, copied."""
        moments = self.moments.of(runs) if self.moments else None
        state = {name: t[list(runs)] for name, t in self.state.items()} if self.state else {}
        return Progress(self.index, moments, state)


@dataclass(frozen=True)
class Trained:
    """A stack after training. A run that stopped early, or diverged, has a shorter curve."""

    model: VAE
    curves: tuple[Curve, ...]
    diverged_at: tuple[int | None, ...]
    """The step of each run whose loss left the reals."""


def training_steps(
    model: VAE,
    configs: Sequence[RunConfig],
    dataset: Dataset,
    make_step: MakeStep = EagerStep,
    start: Progress = Progress(),
) -> Iterator[Step[Progress]]:
    """THE loop: one step for every item that is asked for."""
    keep_freed_memory()
    first = configs[0]
    objective = OBJECTIVES[first.objective.name]
    place = next(model.parameters())
    hyper = trajectories([c.objective for c in configs], first, place, objective.counts)
    posterior_hyper = trajectories([c.posterior for c in configs], first, place)
    rate_weight = trajectory([c.rate_weight for c in configs], first, place)
    state = start.state or {
        name: torch.full((len(configs), 1), value).to(place)
        for name, value in objective.initial_state.items()
    }
    loss = Loss(objective, first.num_samples, len(dataset.train.x), first.stack_key)
    take = make_step(model, loss, first.train.num_steps - start.index)
    adam = [AdamScalars(c.train.learning_rate, c.train.weight_decay) for c in configs]
    optimiser = StackAdam(model, adam, start.moments)
    limits = torch.tensor([c.train.max_grad_norm or math.inf for c in configs]).to(place)
    clips = bool(limits.isfinite().any())
    noise = streams(configs, "train")

    for index, x in enumerate(batches(configs, dataset, place, start.index), start.index):
        scalars = Scalars(
            {name: value(index) for name, value in hyper.items()} | state,
            {name: value(index) for name, value in posterior_hyper.items()},
            rate_weight(index),
        )
        mean_loss, measured, state = take(x, noise.at(step=index), scalars)
        norms = clip_gradients(model, limits) if clips else None
        optimiser.step()
        yield Step(index, mean_loss, measured, norms, Progress(index + 1, optimiser.moments, state))


def train(
    configs: Sequence[RunConfig],
    dataset: Dataset,
    device: torch.device,
    on_steps: Callable[[int], None] = lambda steps: None,
    make_step: MakeStep = EagerStep,
) -> Trained:
    """Train a stack to the end. A run that diverges or stops early leaves it; the others go on
    as if it had never been there."""
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(device)
    log = Log(configs, dataset, on_steps)
    runs, part, progress = list(range(len(configs))), model, Progress()
    while runs:
        steps = training_steps(part, [configs[i] for i in runs], dataset, make_step, progress)
        last = next((step for step in steps if log.runs_leave(step, part, runs)), None)
        put_back(model, part, runs)
        if last is None:
            break
        staying = [position for position, run in enumerate(runs) if log.goes_on(run)]
        part, progress = select(part, staying), last.progress.of(staying)
        runs = [runs[position] for position in staying]
    log.finish(model)
    diverged_at = tuple(log.diverged_at.get(run) for run in range(len(configs)))
    return Trained(model, tuple(log.curves), diverged_at)
