"""Measures how many runs to stack, and how many processes and threads to train them in.

The time of a small model's step is mostly overhead, which all runs of a stack share: so runs are
stacked for as long as a larger stack takes less time per run. A few steps of each size are timed.
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
"""Runs in a stack where nothing has been timed."""
SMALLEST_PROBED = 8
"""This many runs, or fewer, share a stack without being timed."""
WORTH = 0.95
"""A stack is doubled while that brings the time of a run to this share, or less."""
WARM_UP, TIMED = 3, 12
"""Steps of a probe."""
THREADS_MARGIN = 1.2
"""How many times faster more threads must be than more processes: see `_seconds_per_step`."""
SHARE_OF_MEMORY = 0.5
"""Share of the memory free at the start that all workers together may use."""


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
    """How to train these runs, from timings; in stacks of the default size where a step fails.

    That failure is left to the worker, which records it. Plugins are not timed: what they do to
    their process must not happen to this one.
    """
    default = stacks(configs)
    unmeasured = StackPlan(default, min(num_workers, len(default)))
    if any(config.plugin for config in configs):
        return unmeasured
    try:
        return _measured(configs, num_workers, device)
    except Exception as error:
        LOG.warning("no stack was timed: %s", error)
        return unmeasured


def _measured(configs: Sequence[RunConfig], num_workers: int, device: torch.device) -> StackPlan:
    """Stacks of the fastest size; where workers would be idle, smaller ones or more threads."""
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
    """Runs by stack key, sorted so that Adam can update neighbours with equal settings together."""
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
    """Halve the largest stack until there are `num_parts`, or only single runs are left."""
    parts = sorted(whole, key=len)
    while len(parts) < num_parts and len(parts[-1]) > 1:
        largest = parts.pop()
        parts = sorted([*parts, *_evenly(largest, -(-len(largest) // 2))], key=len)
    return parts


def _seconds_per_step(option: StackPlan, device: torch.device) -> float:
    """Seconds that a step of an option's largest stack takes, in its number of threads.

    The threads of this process spin while they wait and a worker's do not, so that more threads
    look better here than there: their time counts with a margin.
    """
    largest = max(option.stacks, key=len)
    margin = THREADS_MARGIN if option.num_threads > 1 else 1.0
    return margin * step_seconds(largest, device, option.num_threads)


def best_size(group: Sequence[RunConfig], num_workers: int, device: torch.device) -> int:
    """The largest stack that fits memory and still lowers the time per run enough."""
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
    """Double the stack while that lowers the time per run enough; returns the last such size."""
    best, best_seconds = min(most, SMALLEST_PROBED), math.inf
    for size in (SMALLEST_PROBED << i for i in itertools.count()):
        if best == most:
            break
        size = min(size, most)
        members = group[:size]
        seconds = step_seconds(members, device) / size
        LOG.info("%s: a stack of %d takes %.3f ms per run", group[0].variant, size, 1e3 * seconds)
        if seconds > WORTH * best_seconds:
            break
        best, best_seconds = size, seconds
    return best


def step_seconds(configs: Sequence[RunConfig], device: torch.device, num_threads: int = 1) -> float:
    """Seconds of a training step: the least of a few, as other processes can only add to it."""
    with threads(num_threads):
        times = list(itertools.islice(_laps(configs, device), WARM_UP + TIMED))
    return min(times[-TIMED:])


def _laps(configs: Sequence[RunConfig], device: torch.device) -> Iterator[float]:
    """The seconds of one training step after another."""
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(device)
    start = time.perf_counter()
    for step in training_steps(model, configs, dataset):
        step.loss.sum().item()  # on a GPU: wait for it
        yield time.perf_counter() - start
        start = time.perf_counter()


def run_bytes(config: RunConfig) -> int:
    """Bytes that a run takes in training: weights, Adam's two moments, and a step at its peak."""
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    steps = training_steps(model, [config], dataset)
    next(steps)  # makes what all runs of a stack share: the observations of an epoch
    with PeakBytes() as counted:
        next(steps, None)
    return 3 * weights + counted.peak


def num_cores() -> int:
    """How many cores this process may use, or the machine has where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
