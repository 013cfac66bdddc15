"""Which runs train side by side, in how many processes and with how many threads: by measurement.

Small models are bound by what a step costs however many runs share it, so runs go in stacks, as
large as still pays. A probe of a few steps says how large that is here.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data
from vaebench.core.memory import PeakBytes, available_bytes
from vaebench.core.timing import threads
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.training.loop import training_steps

LOG = logging.getLogger("vaebench.running.plan")

DEFAULT_SIZE = 16
"""Of a stack that nothing has been measured for."""
SMALLEST_PROBED = 8
"""So many runs, or fewer, always share a stack."""
WORTH = 0.95
"""A stack is doubled while that brings the time of a run to this share, or less."""
WARM_UP, TIMED = 3, 12
"""Steps of a probe."""
THREADS_MARGIN = 1.2
"""By which more threads must beat more processes: see `_seconds_per_step`."""
SHARE_OF_MEMORY = 0.5
"""Of what is free when training starts."""


@dataclass(frozen=True)
class StackPlan:
    """The stacks of a study, and the processes and threads that they train in."""

    stacks: list[list[RunConfig]]
    num_workers: int
    num_threads: int = 1

    def __str__(self) -> str:
        sizes = sorted(map(len, self.stacks))
        runs = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
        return (
            f"stacks: {len(sizes)} (of {runs}), workers: {self.num_workers}, "
            f"threads of each: {self.num_threads}"
        )


def plan(configs: Sequence[RunConfig], num_workers: int, device: torch.device) -> StackPlan:
    """The way to train these runs: by measurement, or as usual where a step fails, which its worker
    records. Plugins are not timed: what they do to their process must not happen to this one."""
    usual = stacks(configs)
    unmeasured = StackPlan(usual, min(num_workers, len(usual)))
    if any(config.plugin for config in configs):
        return unmeasured
    try:
        return _measured(configs, num_workers, device)
    except Exception as error:
        LOG.warning("no stack was timed: %s", error)
        return unmeasured


def _measured(configs: Sequence[RunConfig], num_workers: int, device: torch.device) -> StackPlan:
    """Stacks as large as pays; where there are fewer than cores, more of them or more threads."""
    if device.type != "cpu":
        sized = _sized(configs, 1, device)
        torch.cuda.empty_cache()  # a worker needs what the probe had
        return StackPlan(sized, num_workers=1)
    whole = _sized(configs, num_workers, device)
    if len(whole) >= num_workers:
        return StackPlan(whole, num_workers)
    apart = _split(whole, num_workers)
    num_threads = max(1, min(num_workers, num_cores()) // len(whole))
    options = [StackPlan(whole, len(whole), num_threads), StackPlan(apart, len(apart))]
    return min(options, key=functools.partial(_seconds_per_step, device=device))


def stacks(configs: Iterable[RunConfig], max_size: int = DEFAULT_SIZE) -> list[list[RunConfig]]:
    """The runs that can train side by side, in groups of nearly equal size."""
    return [part for group in _groups(configs) for part in _evenly(group, max_size)]


def _groups(configs: Iterable[RunConfig]) -> list[list[RunConfig]]:
    """By stack key; within it those next to each other that the optimiser can take at once."""
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        groups.setdefault(config.stack_key, []).append(config)
    return [sorted(group, key=_adam) for group in groups.values()]


def _adam(config: RunConfig) -> tuple[float, float]:
    return config.train.learning_rate, config.train.weight_decay


def _sized(
    configs: Sequence[RunConfig], num_workers: int, device: torch.device
) -> list[list[RunConfig]]:
    return [
        part
        for group in _groups(configs)
        for part in _evenly(group, best_size(group, num_workers, device))
    ]


def _evenly(group: list[RunConfig], max_size: int) -> Iterator[list[RunConfig]]:
    num_parts = -(-len(group) // max_size)
    ends = [len(group) * i // num_parts for i in range(num_parts + 1)]
    for start, end in itertools.pairwise(ends):
        yield group[start:end]


def _split(whole: list[list[RunConfig]], num_parts: int) -> list[list[RunConfig]]:
    """The largest stack halved until there are so many, or only single runs are left."""
    parts = sorted(whole, key=len)
    while len(parts) < num_parts and len(parts[-1]) > 1:
        largest = parts.pop()
        parts = sorted([*parts, *_evenly(largest, -(-len(largest) // 2))], key=len)
    return parts


def _seconds_per_step(option: StackPlan, device: torch.device) -> float:
    """Of the largest stack, in as many threads as the option gives it. Those of the probe spin
    while they wait and a worker's do not, so threads must be faster by a margin."""
    largest = max(option.stacks, key=len)
    margin = THREADS_MARGIN if option.num_threads > 1 else 1.0
    return margin * step_seconds(largest, device, option.num_threads)


def best_size(group: Sequence[RunConfig], num_workers: int, device: torch.device) -> int:
    """The smallest stack that a larger one would not beat by much, within the memory there is."""
    first, shape = group[0], _shape(group[0])
    if first.stack_key not in _bytes:
        _bytes[first.stack_key] = run_bytes(first)
    most = int(SHARE_OF_MEMORY * available_bytes(device) / num_workers / _bytes[first.stack_key])
    if min(len(group), most) <= SMALLEST_PROBED:
        return max(1, min(len(group), most))
    if (shape, most := min(most, len(group))) not in _sizes:
        _sizes[shape, most] = _doubled(group, most, device)
    return _sizes[shape, most]


_bytes: dict[str, int] = {}
_sizes: dict[tuple[str, int], int] = {}
"""By shape of model and minibatch, and the most runs; in time objectives differ little."""


def _shape(config: RunConfig) -> str:
    outputs = LIKELIHOODS[config.likelihood.name].outputs_per_pixel
    train = config.train
    what = config.model, config.data.name, outputs, config.num_samples
    return repr((*what, config.posterior.name, train.batch_size, train.precision))


def _doubled(group: Sequence[RunConfig], most: int, device: torch.device) -> int:
    """The largest size that was worth doubling to."""
    best, of_a_run = min(most, SMALLEST_PROBED), math.inf
    for size in (SMALLEST_PROBED << i for i in itertools.count()):
        if best == most:
            break
        size = min(size, most)
        members = group[:size]
        seconds = step_seconds(members, device) / size
        LOG.info("%s: a stack of %d takes %.3f ms per run", group[0].variant, size, 1e3 * seconds)
        if seconds > WORTH * of_a_run:
            break
        best, of_a_run = size, seconds
    return best


def step_seconds(configs: Sequence[RunConfig], device: torch.device, num_threads: int = 1) -> float:
    """What a training step of a stack takes: the least of a few, as neighbours only add to it."""
    with threads(num_threads):
        times = list(itertools.islice(_laps(configs, device), WARM_UP + TIMED))
    return min(times[-TIMED:])


def _laps(configs: Sequence[RunConfig], device: torch.device) -> Iterator[float]:
    """Seconds of one step after another."""
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(device)
    start = time.perf_counter()
    for step in training_steps(model, configs, dataset):
        step.loss.sum().item()  # on a GPU: wait for it
        yield time.perf_counter() - start
        start = time.perf_counter()


def run_bytes(config: RunConfig) -> int:
    """What a run of a stack holds: weights, Adam's two moments, and a step at its peak."""
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    steps = training_steps(model, [config], dataset)
    next(steps)  # makes what all runs of a stack share: the observations of an epoch
    with PeakBytes() as counted:
        next(steps, None)
    return 3 * weights + counted.peak


def num_cores() -> int:
    """Those this process may use; not every system says, and then those there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
