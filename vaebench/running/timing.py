"""Times the training step of every variant, all in turn, once training is over.

Every variant's own training loop runs in this process, on one thread, a few steps at a time and in
turn, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from msgspec.structs import replace

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data
from vaebench.core.collector import paused
from vaebench.core.errors import InputWarning, first_line
from vaebench.core.memory import PeakBytes
from vaebench.core.timing import synchronise, threads
from vaebench.models import VAE
from vaebench.results import Metric, Record, metric
from vaebench.running.environment import describe
from vaebench.running.job import labels
from vaebench.training.curves import Step
from vaebench.training.loop import training_steps
from vaebench.training.progress import Progress

NUM_ROUNDS = 11
NUM_WARM_UP = 10
ROUND_SECONDS = 0.06
SEED_OFFSET = 1_000_003
"""Between the seeds of two variants that are timed, so that no noise is shared."""
BASELINE = "elbo"


@dataclass
class Lap:
    """One variant that is timed: its stack, its training loop, and its step time in each round."""

    configs: Sequence[RunConfig]
    model: VAE
    loop: Iterator[Step[Progress]]
    num_steps: int = 1
    times_ms: list[float] = field(default_factory=list)  # per step and run


def timing_pass(
    variants: Sequence[Sequence[RunConfig]], study: str, device: str, num_threads: int = 1
) -> list[Record]:
    """Time the training step of each variant, which is the list of the runs in its stack.

    A variant that raises, as some of the user's do where several runs are stacked, is left out with
    an InputWarning: its runs are recorded already.
    """
    with threads(num_threads), paused():
        tried = [_warmed_up_if_it_runs(i, configs, device) for i, configs in enumerate(variants)]
        laps = [lap for lap in tried if lap]
        memory = [_peak_memory(lap, device) for lap in laps]
        for _ in range(NUM_ROUNDS):
            for lap in laps:
                lap.times_ms.append(_timed(lap, lap.num_steps, device))
    return [
        _record(lap, _baseline(lap, laps), peak, study, device, num_threads)
        for lap, peak in zip(laps, memory, strict=True)
    ]


def _warmed_up_if_it_runs(index: int, configs: Sequence[RunConfig], device: str) -> Lap | None:
    try:
        return _warmed_up(index, configs, device)
    except Exception as error:  # whatever a function of the user's raises
        warnings.warn(
            f"{configs[0].variant} is not timed: a step of {len(configs)} of its runs raises "
            f"{type(error).__name__}: {first_line(error)}",
            InputWarning,
            stacklevel=3,
        )
        return None


def _warmed_up(index: int, configs: Sequence[RunConfig], device: str) -> Lap:
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(device)
    # Noise is kept for the runs that share it; here every variant must make its own.
    reseeded = [replace(c, seed=c.seed + SEED_OFFSET * (index + 1)) for c in configs]

    def endless() -> Iterator[Step[Progress]]:
        while True:
            yield from training_steps(model, reseeded, dataset)

    lap = Lap(configs, model, endless())
    _timed(lap, NUM_WARM_UP, device)
    step_ms = _timed(lap, NUM_WARM_UP, device) * len(configs)
    lap.num_steps = max(2, round(1e3 * ROUND_SECONDS / step_ms))
    return lap


def _timed(lap: Lap, num_steps: int, device: str) -> float:
    """Milliseconds per step and run, over so many steps."""
    synchronise(torch.device(device))
    start = time.perf_counter()
    for _ in range(num_steps):
        next(lap.loop)
    synchronise(torch.device(device))
    return 1e3 * (time.perf_counter() - start) / (num_steps * len(lap.configs))


def _peak_memory(lap: Lap, device: str) -> float:
    """MiB per run: parameters, Adam's two moments, and the tensors of one step at their peak."""
    weights = sum(p.numel() * p.element_size() for p in lap.model.parameters())
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        next(lap.loop)
        in_step = torch.cuda.max_memory_allocated(device) - before
    else:
        with PeakBytes() as counted:
            next(lap.loop)
        in_step = counted.peak
    return (3 * weights + in_step) / len(lap.configs) / 2**20


def _baseline(lap: Lap, laps: Sequence[Lap]) -> Lap:
    """The plain ELBO on the same data with the same likelihood, settings and number of runs.

    Where there is none, the first variant that shares these.
    """
    same = [other for other in laps if _conditions(other) == _conditions(lap)]
    return next((other for other in same if other.configs[0].variant == BASELINE), same[0])


def _conditions(lap: Lap) -> tuple[object, ...]:
    first = lap.configs[0]
    return first.likelihood, first.data, first.settings, len(lap.configs)


def _record(
    lap: Lap, baseline: Lap, peak: float, study: str, device: str, num_threads: int
) -> Record:
    config = lap.configs[0]
    protocol = (
        f"{len(lap.configs)} runs stacked, eager steps, {num_threads} thread, "
        f"{NUM_ROUNDS} interleaved rounds, per run"
    )
    against = f"{protocol}, against {baseline.configs[0].variant}"
    return Record(
        run=f"timing-{config.id}",
        study=study,
        labels=labels(config, seed=None),
        config={"runs": [c.id for c in lap.configs]},
        status="done",
        metrics=[
            *_times(lap.times_ms, config.train.batch_size, protocol),
            metric("step_time_ratio", _ratio(lap, baseline), against),
            metric("peak_memory", peak, protocol),
        ],
        environment=describe(device),
    )


def _times(times_ms: Sequence[float], batch_size: int, protocol: str) -> list[Metric]:
    median = statistics.median(times_ms)
    q20, q80 = np.quantile(times_ms, (0.2, 0.8))
    return [
        metric("step_time", median, protocol),
        metric("step_time_q20", float(q20), protocol),
        metric("step_time_q80", float(q80), protocol),
        metric("examples_per_s", 1e3 * batch_size / median, protocol),
    ]


def _ratio(lap: Lap, baseline: Lap) -> float:
    pairs = zip(lap.times_ms, baseline.times_ms, strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)
