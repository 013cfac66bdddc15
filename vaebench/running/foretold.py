"""Seconds and bytes that runs will take, foretold from counted work: no clock is read.

Constants of one class of machine turn what is counted into seconds, as `--compile auto` does: see
`choosing`. They are right to a factor of two on such a machine, as results/reference/compiling
shows, and say nothing of a GPU.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data, streams
from vaebench.data import Dataset
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models import VAE
from vaebench.running.choosing import Work
from vaebench.running.work import Operations, step_work, with_users_networks_alone
from vaebench.training.stepping.ways import Stepping

GRADED_PER_SAMPLE = 1.5e-6
GRADED_PER_FLOP = 2.4e-12
"""Seconds of one core that a sample of the NLL takes, and each operation of its products: by the
grading of the digits (results/reference/harness/share.csv) and the rate of a 784-400-20 model
(results/reference/evaluation/rate_1.csv)."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one core, and bytes of memory, of some runs side by side."""

    training_s: float = 0.0
    grading_s: float = 0.0
    """The samples of the NLL alone."""
    num_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Training and grading."""
        return self.training_s + self.grading_s


def cost(configs: Sequence[RunConfig], stepping: Stepping) -> Cost:
    """What runs cost that train side by side. Of the user's functions networks alone are
    counted as they are: see `step_work`.

    Raises what counting a step does, where none can be taken.
    """
    first = configs[0]
    step = step_work(first)
    work = Work().and_of(len(configs), first.train.num_steps, step)
    training_s = work.compiled_s + (0.0 if stepping.is_compiled else work.saved_s)
    num_runs = len(configs)
    return Cost(training_s, num_runs * grading_s(first), num_runs * step.num_bytes)


def grading_s(config: RunConfig) -> float:
    """Seconds of one core for the samples of a run's NLL, of held-out and validation examples."""
    config = with_users_networks_alone(config)
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    of_one, of_two = (_flops_of_bounds(config, model, dataset, count) for count in (1, 2))
    num_samples = config.evaluate.num_samples * (len(dataset.test) + len(dataset.valid))
    return num_samples * (GRADED_PER_SAMPLE + GRADED_PER_FLOP * (of_two - of_one))


def _flops_of_bounds(config: RunConfig, model: VAE, dataset: Dataset, num_samples: int) -> int:
    """Operations of the products behind the bounds of one example, with so many samples."""
    x, noise = dataset.observations("valid")[:1].to(model.like), streams([config], "curve")
    with torch.no_grad(), torch.random.fork_rng(devices=[]), Operations() as counted:
        bounds(model, x, noise, num_samples=num_samples, num_rows=1)
    return counted.flops


def makespan_s(jobs: Iterable[float], num_workers: int) -> float:
    """Seconds until workers have done jobs of so many seconds each, which they take in order."""
    free_at = [0.0] * num_workers
    for seconds in jobs:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)
