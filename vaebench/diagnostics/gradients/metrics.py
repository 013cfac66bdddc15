"""The metrics of one variant, K, checkpoint and side, each with unit, error and protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from vaebench.diagnostics.gradients import moments as read
from vaebench.diagnostics.gradients.moments import Estimate, Moments, Summary, estimate
from vaebench.diagnostics.gradients.replicas import Point
from vaebench.diagnostics.gradients.timing import Lap
from vaebench.objectives.entry import Side
from vaebench.running.environment import describe

Metric = dict[str, Any]
"""The columns of one metric: its name, value, standard error, unit and protocol."""


def spread(ours: Moments, lap: Lap, mean: int) -> Iterator[Metric]:
    """Signal, noise and their cost; the mean gradient is the direction in column `mean`."""
    num_evaluations = lap.config.evaluations_per_step
    num_replicas = f"{int(ours.num.sum())} replicas"
    noise = estimate(ours, lambda s: s.noise)
    signal = estimate(ours, read.norm)
    of_parameters = estimate(ours, read.snr_of_parameters)
    of_vector = estimate(ours, read.snr_of_vector)
    yield _metric("gradient_norm", signal, "nats", num_replicas)
    yield _metric("variance", noise, "nats^2", f"trace, {num_replicas}")
    per_parameter = _scaled(noise, 1.0 / ours.directions.shape[0])
    yield _metric("variance_per_parameter", per_parameter, "nats^2", num_replicas)
    yield _metric("snr", of_parameters, "1", f"mean over parameters, {num_replicas}")
    yield _metric("dsnr", read.directional_snr(ours, mean), "1", num_replicas)
    yield _metric("snr_vector", of_vector, "1", num_replicas)
    for cost, each, unit in (
        (num_evaluations, "evaluation", "evaluations"),
        (lap.median_s, "second", "s"),
    ):
        per_gradient = f"one gradient costs {cost:.3g} {unit}"
        root = _scaled(of_vector, cost**-0.5)
        yield _metric(f"variance_x_{each}s", _scaled(noise, cost), f"nats^2 {unit}", per_gradient)
        yield _metric(f"snr_per_sqrt_{each}", root, f"1/sqrt({unit})", per_gradient)
        yield _metric(f"{each}s_to_snr_1", _budget(of_vector, cost), unit, per_gradient)


def _budget(snr: Estimate, cost: float) -> Estimate:
    """What must be spent on averaging repeated gradients until signal and noise are equal."""
    if not snr.value > 0.0:
        return Estimate(math.inf, math.inf)
    value = cost / snr.value**2
    return Estimate(value, 2.0 * value * snr.standard_error / snr.value)


def bias(ours: Moments, theirs: Moments, named: str, guide: int) -> Iterator[Metric]:
    """The bias against the gradient that this one is declared to have in expectation.

    Directions count from `guide`, that of the gradient itself.
    """
    other = theirs.summary()
    protocol = f"against {named}, {int(theirs.num.sum())} independent replicas"
    yield _metric("bias_relative", estimate(ours, lambda s: read.distance(s, other)), "1", protocol)
    seen = Estimate(read.resolution(ours.summary(), other), 0.0)
    yield _metric("bias_resolution", seen, "1", protocol)
    t = read.bias_t(ours, theirs)[guide:].tolist()
    for i, value in enumerate(t):
        along = "along the gradient" if i == 0 else f"along random direction {i}"
        yield _metric("bias_t", Estimate(value, 1.0), "1", f"{protocol}, {along}")


def against_log_px(ours: Moments, tightest: Moments | str, side: Side) -> Iterator[Metric]:
    """The decoder's error against the gradient of log p(x), in which q(z|x) has no part."""
    if side == "encoder" or isinstance(tightest, str):
        reason = tightest if isinstance(tightest, str) else "q(z|x) does not change log p(x)"
        yield {"metric": "log_px_relative_error", "status": "refused", "reason": reason}
        return
    exact = tightest.summary()
    protocol = f"to the gradient of log p(x), by iwae, {int(tightest.num.sum())} replicas"
    scale = read.norm(exact)

    def noise(s: Summary) -> float:
        return math.sqrt(s.noise) / scale

    yield _metric(
        "log_px_relative_error", estimate(ours, lambda s: read.distance(s, exact)), "1", protocol
    )
    yield _metric("log_px_cosine", estimate(ours, lambda s: read.cosine(s, exact)), "1", protocol)
    yield _metric("log_px_relative_noise", estimate(ours, noise), "1", protocol)


def time(lap: Lap, point: Point) -> Iterator[Metric]:
    """The time that one gradient takes, and the machine it was measured on."""
    environment = ", ".join(f"{k} {v}" for k, v in describe(str(point.x.device)).items())
    protocol = f"a single model, 1 thread, {len(lap.times_s)} interleaved rounds; {environment}"
    for name, seconds in (
        ("gradient_time", lap.median_s),
        ("gradient_time_q20", lap.quantile_s(0.2)),
        ("gradient_time_q80", lap.quantile_s(0.8)),
    ):
        yield _metric(name, Estimate(1e3 * seconds, math.nan), "ms", protocol)


def _scaled(e: Estimate, factor: float) -> Estimate:
    return Estimate(e.value * factor, e.standard_error * factor)


def _metric(metric: str, e: Estimate, unit: str, protocol: str) -> Metric:
    """One metric; numbers that are not finite become None, as JSON has no others."""
    return {
        "metric": metric,
        "value": e.value if math.isfinite(e.value) else None,
        "standard_error": e.standard_error if math.isfinite(e.standard_error) else None,
        "unit": unit,
        "protocol": protocol,
    }
