"""The time that one gradient takes: quiet, interleaved rounds, as in the timing pass."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vaebench.config import RunConfig
from vaebench.core.timing import synchronise
from vaebench.diagnostics.gradients.replicas import Point, gradients
from vaebench.models import VAE, select
from vaebench.ops.noise import Noise, key
from vaebench.running.timing import NUM_ROUNDS

ROUND_SECONDS, NUM_WARM_UP = 0.02, 3


@dataclass
class Lap:
    """One estimator in the race, and its time of each round."""

    config: RunConfig
    model: VAE
    noise: Noise
    num_gradients: int = NUM_WARM_UP
    times_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return float(np.median(self.times_s))

    def quantile_s(self, share: float) -> float:
        return float(np.quantile(self.times_s, share))


def race(point: Point, configs: Sequence[RunConfig]) -> list[Lap]:
    """Seconds that a single model takes for one gradient of each, forward and backward."""
    laps = [_warmed_up(i, point, config) for i, config in enumerate(configs)]
    gc.disable()
    try:
        for _ in range(NUM_ROUNDS):
            for lap in laps:
                lap.times_s.append(_timed(lap, point))
    finally:
        gc.enable()
    return laps


def _warmed_up(index: int, point: Point, config: RunConfig) -> Lap:
    # Random numbers are cached for runs that share a key; here each estimator must draw its own.
    noise = Noise((key(config.seed, "gradients", "time", index),))
    lap = Lap(config, select(point.model, [0]).requires_grad_(True), noise)
    _timed(lap, point)
    lap.num_gradients = max(1, round(ROUND_SECONDS / _timed(lap, point)))
    return lap


def _timed(lap: Lap, point: Point) -> float:
    """Seconds per gradient."""
    synchronise(point.x.device)
    start = time.perf_counter()
    for step in range(lap.num_gradients):
        gradients(lap.model, point, lap.config, lap.noise.at(step=step))
    synchronise(point.x.device)
    return (time.perf_counter() - start) / lap.num_gradients
