"""Times the training step of every variant, all in turn, once training is over.

Every variant's own training loop runs in this process, on one thread, a few steps at a time and in
turn, so that whatever else the machine does falls on all of them alike. Steps are taken as the
study took them.
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
from vaebench.ops import forget_paths, paths
from vaebench.results import Metric, Record, metric
from vaebench.running.environment import describe
from vaebench.running.plan import DEFAULT_SIZE
from vaebench.running.recording import labels
from vaebench.training.curves import Step, interval
from vaebench.training.loop import training_steps
from vaebench.training.minibatches import steps_per_epoch
from vaebench.training.progress import Progress
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import STEP, WAYS, taken

NUM_ROUNDS = 11
NUM_WARM_UP = 10
ROUND_SECONDS = 0.03
SEED_OFFSET = 1_000_003
"""Between the seeds of two variants that are timed, so that no noise is shared."""
BASELINE = "elbo"


@dataclass(frozen=True)
class Variant:
    """The runs of a variant that are timed, in one stack, and how their steps are taken."""

    configs: Sequence[RunConfig]
    way: str = "eager"
    """A name of `ways.WAYS`."""


@dataclass
class Lap:
    """One variant that is timed: its stack, its training loop, and its step time in each round."""

    variant: Variant
    model: VAE
    loop: Iterator[Step[Progress]]
    peak_mib: float
    steps: str = "eager"
    """How its steps are taken, in a word."""
    num_steps: int = 1
    times_ms: list[float] = field(default_factory=list)  # per step and run

    @property
    def configs(self) -> Sequence[RunConfig]:
        """Its runs."""
        return self.variant.configs


def variants_of(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """The stacks that are timed: runs by all but their seed, each cut to the default size."""
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        groups.setdefault(replace(config, seed=0).id, []).append(config)
    return [group[:DEFAULT_SIZE] for group in groups.values()]


def seconds(step_s: float) -> float:
    """About how long one stack is timed whose step takes so long: the step whose memory is
    watched, two warm-ups, a round that is not counted, and those that are."""
    return (1 + 2 * NUM_WARM_UP) * step_s + (1 + NUM_ROUNDS) * max(2 * step_s, ROUND_SECONDS)


def timing_pass(
    variants: Sequence[Variant], study: str, device: str, num_threads: int = 1
) -> list[Record]:
    """Time the training step of each variant.

    A variant that raises, as some of the user's do where several runs are stacked, is left out with
    an InputWarning: its runs are recorded already.
    """
    ways = {name: WAYS[name]() for name in {variant.way for variant in variants}}
    with threads(num_threads), paused():
        tried = [
            _warmed_up_if_it_runs(i, variant, device, ways[variant.way])
            for i, variant in enumerate(variants)
        ]
        laps = [lap for lap in tried if lap]
        for _ in range(NUM_ROUNDS):
            for lap in laps:
                lap.times_ms.append(_timed(lap, device))
    return [_record(lap, _baseline(lap, laps), study, device, num_threads) for lap in laps]


def _warmed_up_if_it_runs(
    index: int, variant: Variant, device: str, make_blocks: MakeBlocks
) -> Lap | None:
    configs = variant.configs
    try:
        return _warmed_up(index, variant, device, make_blocks)
    except Exception as error:  # whatever a function of the user's raises
        warnings.warn(
            f"{configs[0].variant} is not timed: a step of {len(configs)} of its runs raises "
            f"{type(error).__name__}: {first_line(error)}",
            InputWarning,
            stacklevel=3,
        )
        return None


def _warmed_up(index: int, variant: Variant, device: str, make_blocks: MakeBlocks) -> Lap:
    configs = variant.configs
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(device)
    # Noise is kept for the runs that share it; here every variant must make its own.
    reseeded = [replace(c, seed=c.seed + SEED_OFFSET * (index + 1)) for c in configs]

    def endless(at_once: int) -> Iterator[Step[Progress]]:
        while True:
            yield from training_steps(model, reseeded, dataset, make_blocks, at_once=at_once)

    peak = _peak_memory(model, training_steps(model, reseeded, dataset), device)
    forget_paths()
    at_once = interval(configs[0].train.num_steps)
    lap = Lap(variant, model, endless(min(NUM_WARM_UP, at_once)), peak, num_steps=NUM_WARM_UP)
    _timed(lap, device)
    step_ms = _timed(lap, device) * len(configs)
    per_epoch = steps_per_epoch(dataset, configs[0].train.examples_per_step)
    lap.num_steps = _whole_epochs(max(2, round(1e3 * ROUND_SECONDS / step_ms)), per_epoch)
    # Blocks of equal length, for with longer ones a round would end beyond its steps.
    num_blocks = -(-lap.num_steps // at_once)
    lap.loop = endless(-(-lap.num_steps // num_blocks))
    _timed(lap, device)
    lap.steps = taken(paths()[STEP])
    return lap


def _whole_epochs(num_steps: int, per_epoch: int) -> int:
    """About so many steps; as many epochs where it is more than one, since each has work of its own
    that would else fall into some of the rounds."""
    return num_steps if num_steps < per_epoch else round(num_steps / per_epoch) * per_epoch


def _timed(lap: Lap, device: str) -> float:
    """Milliseconds per step and run, over the steps of a round, or up to the end of a block."""
    synchronise(torch.device(device))
    start, num_steps = time.perf_counter(), 0
    while num_steps < lap.num_steps:
        num_steps += len(next(lap.loop).losses)
    synchronise(torch.device(device))
    return 1e3 * (time.perf_counter() - start) / (num_steps * len(lap.configs))


def _peak_memory(model: VAE, eager: Iterator[Step[Progress]], device: str) -> float:
    """MiB per run: parameters, Adam's two moments, moving averages of parameters where there are
    some, and the tensors of an eager step at their peak.

    What a compiled graph takes within itself is not seen.
    """
    num_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    moments = next(eager).progress.moments  # makes what is kept between steps
    num_kept = 4 if moments and moments.averages else 3
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        next(eager)
        in_step = torch.cuda.max_memory_allocated(device) - before
    else:
        with PeakBytes() as counted:
            next(eager)
        in_step = counted.peak
    return (num_kept * num_bytes + in_step) / model.num_runs / 2**20


def _baseline(lap: Lap, laps: Sequence[Lap]) -> Lap:
    """The plain ELBO on the same data with the same likelihood, settings and number of runs.

    Where there is none, the first variant that shares these.
    """
    same = [other for other in laps if _conditions(other) == _conditions(lap)]
    return next((other for other in same if other.configs[0].variant == BASELINE), same[0])


def _conditions(lap: Lap) -> tuple[object, ...]:
    first = lap.configs[0]
    settings = {name: v for name, v in first.settings.items() if name != "train.num_steps"}
    return first.likelihood, first.data, settings, len(lap.configs)


def _record(lap: Lap, baseline: Lap, study: str, device: str, num_threads: int) -> Record:
    config = lap.configs[0]
    stacked = f"{len(lap.configs)} runs stacked"
    protocol = (
        f"{stacked}, {lap.steps} steps, {num_threads} thread, "
        f"{NUM_ROUNDS} interleaved rounds, per run"
    )
    against = f"{protocol}, against {baseline.configs[0].variant}, {baseline.steps} steps"
    return Record(
        run=f"timing-{config.id}",
        study=study,
        labels=labels(config, seed=None),
        config={"runs": [c.id for c in lap.configs], "way": lap.variant.way},
        status="done",
        metrics=[
            *_times(lap.times_ms, config.train.examples_per_step, protocol),
            metric("step_time_ratio", _ratio(lap, baseline), against),
            metric("peak_memory", lap.peak_mib, f"{stacked}, an eager step, per run"),
        ],
        environment=describe(device),
    )


def _times(times_ms: Sequence[float], num_examples: int, protocol: str) -> list[Metric]:
    median = statistics.median(times_ms)
    q20, q80 = np.quantile(times_ms, (0.2, 0.8))
    return [
        metric("step_time", median, protocol),
        metric("step_time_q20", float(q20), protocol),
        metric("step_time_q80", float(q80), protocol),
        metric("examples_per_s", 1e3 * num_examples / median, protocol),
    ]


def _ratio(lap: Lap, baseline: Lap) -> float:
    pairs = zip(lap.times_ms, baseline.times_ms, strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)
