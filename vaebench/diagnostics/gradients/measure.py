"""The measurement: every variant, at every K, at every checkpoint -> rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vaebench.config import Choice, RunConfig
from vaebench.config.build import load_data
from vaebench.core.errors import InputError
from vaebench.core.timing import threads
from vaebench.diagnostics.gradients import metrics
from vaebench.diagnostics.gradients.moments import NUM_BLOCKS, Moments
from vaebench.diagnostics.gradients.plan import GradientPlan, name_of, refused, target
from vaebench.diagnostics.gradients.replicas import (
    SIDES,
    Point,
    parameters,
    points,
    replicas,
    with_objective,
)
from vaebench.diagnostics.gradients.timing import Lap, race
from vaebench.objectives.entry import Side
from vaebench.ops.noise import Noise, key, normals
from vaebench.running.meter import OnSteps
from vaebench.training.isolation import check_isolated

Row = dict[str, Any]
Sides = dict[Side, Moments]
Reference = tuple[Sides, dict[Side, Tensor]]

NUM_DIRECTIONS = 12
"""Random directions along which biases are looked for."""
REFERENCE = 2
"""Replicas behind the gradient that an estimator should have, per replica of the estimator."""
TIGHTEST = 8
"""K of the bound that stands for log p(x), as a multiple of the largest measured K."""
MEAN, GUIDE = 0, 1
"""Columns of the directions: the mean gradient by all replicas of the reference, and by the first
quarter of them, from which the other three are independent."""


@dataclass
class Bench:
    """One checkpoint, with the gradients that estimators are held against."""

    plan: GradientPlan
    point: Point
    tightest: Moments | str
    """The decoder's gradient of a bound close to log p(x), or why there is none."""
    references: dict[tuple[str, int], Reference] = field(default_factory=dict)
    """By target: its moments along the directions [n, J], and these directions."""

    def forget_but(self, num_samples: int) -> None:
        """Keep the references of one K: with all of them, memory would grow with the study."""
        self.references = {
            c: reference for c, reference in self.references.items() if c[1] == num_samples
        }


def measure(plan: GradientPlan, on_gradients: OnSteps = lambda number: None) -> list[Row]:
    """All rows of a plan; a refused variant is a row with the reason.

    `on_gradients` is called as each variant at a K and checkpoint is done.
    """
    with threads(1):
        checkpoints = points(plan.trained, plan.at)
        cells = [with_objective(v, v.objective, k) for k in plan.samples for v in plan.variants]
        reasons = {_cell(c): _refusal(c, checkpoints[-1]) for c in cells}
        laps = race(checkpoints[-1], [c for c in cells if not reasons[_cell(c)]])
        times = {_cell(lap.config): lap for lap in laps}
        rows = [
            _row(plan, None, lap.config, "both", **metric)
            for lap in laps
            for metric in metrics.time(lap, checkpoints[-1])
        ]
        for point in checkpoints:
            bench = Bench(plan, point, _tightest(plan, point))
            for config in cells:
                if reason := reasons[_cell(config)]:
                    rows.append(_empty_row(plan, point, config, "refused", reason))
                else:
                    rows += _measured(bench, config, times[_cell(config)])
                on_gradients(1)
                bench.forget_but(config.num_samples)
    return rows


def _cell(config: RunConfig) -> tuple[str, int]:
    return name_of(config), config.num_samples


def _refusal(config: RunConfig, point: Point) -> str:
    """Why there is no gradient, found by computing one; "" where there is."""
    if reason := refused(config):
        return reason
    try:
        check_isolated([config], load_data(config.data), point.x.device)
        next(replicas(point, config, "try", 1))
    except InputError as error:
        return str(error)
    return ""


def _gather(
    point: Point, config: RunConfig, stream: str, num: int, directions: Mapping[Side, Tensor]
) -> Sides:
    moments = {side: Moments(directions[side]) for side in SIDES}
    for part in replicas(point, config, stream, num):
        for side in SIDES:
            moments[side].add(part[side])
    return moments


def _no_directions(point: Point) -> dict[Side, Tensor]:
    place = point.x.new_zeros((), dtype=torch.float64)
    sizes = {s: sum(p.numel() for p in ps) for s, ps in parameters(point.model).items()}
    return {side: place.new_zeros(sizes[side], 0) for side in SIDES}


def _tightest(plan: GradientPlan, point: Point) -> Moments | str:
    """The decoder's gradient of the IWAE bound at a K above those measured, or why not."""
    config = with_objective(plan.trained, Choice("iwae"), TIGHTEST * max(plan.samples))
    if reason := refused(config):
        return reason
    num = max(2 * NUM_BLOCKS, plan.replicas // 4)
    return _gather(point, config, "tightest", num, _no_directions(point))["decoder"]


def _reference(bench: Bench, config: RunConfig) -> Reference:
    """The gradient of a target by replicas of its own, and the directions to compare it along."""
    name = _cell(config)
    if name not in bench.references:
        num, point = REFERENCE * bench.plan.replicas, bench.point
        first = _gather(point, config, "guide", num // 4, _no_directions(point))
        guides = {side: _unit(first[side].summary().mean[:, None]) for side in SIDES}
        random = {side: _random_directions(config.seed, guides[side]) for side in SIDES}
        along = {side: torch.cat([guides[side], guides[side], random[side]], 1) for side in SIDES}
        rest = _gather(point, config, "reference", num - num // 4, along)
        means = {
            s: _unit(first[s].total.sum(0)[:, None] + rest[s].total.sum(0)[:, None]) for s in SIDES
        }
        directions = {s: torch.cat([means[s], along[s][:, GUIDE:]], 1) for s in SIDES}
        bench.references[name] = rest, directions
    return bench.references[name]


def _unit(columns: Tensor) -> Tensor:
    return columns / columns.norm(dim=0).clamp_min(1e-300)


def _random_directions(seed: int, like: Tensor) -> Tensor:
    """[n, J], uniform over the sphere."""
    noise = Noise((key(seed, "gradients", "directions"),))
    return _unit(normals(noise, 1, NUM_DIRECTIONS, len(like))[0, 0].to(like).T)


def _measured(bench: Bench, config: RunConfig, lap: Lap) -> Iterator[Row]:
    """The rows of one variant at one K and checkpoint."""
    targets = {side: target(config, side) for side in SIDES}
    references = {side: _reference(bench, targets[side]) for side in SIDES}
    directions = {side: references[side][1][side] for side in SIDES}
    ours = _gather(bench.point, config, "replicas", bench.plan.replicas, directions)
    for side in SIDES:
        if not ours[side].summary().is_finite:
            reason = f"the {side}'s gradient is not finite in every replica"
            yield _empty_row(bench.plan, bench.point, config, "failed", reason, side)
            continue
        theirs = references[side][0][side]
        for metrics_of_side in (
            metrics.spread(ours[side], lap, MEAN),
            metrics.bias(ours[side], theirs, name_of(targets[side]), GUIDE),
            metrics.against_log_px(ours[side], bench.tightest, side),
        ):
            for metric in metrics_of_side:
                yield _row(bench.plan, bench.point, config, side, **metric)


def _empty_row(
    plan: GradientPlan,
    point: Point,
    config: RunConfig,
    status: str,
    reason: str,
    side: str = "both",
) -> Row:
    return _row(plan, point, config, side, status=status, reason=reason)


def _row(
    plan: GradientPlan, point: Point | None, config: RunConfig, side: str, **metric: Any
) -> Row:
    empty = {"metric": "", "value": None, "standard_error": None, "unit": "", "protocol": ""}
    return {
        "study": plan.study,
        "dataset": config.data.label,
        "likelihood": str(config.likelihood),
        "step": None if point is None else point.step,
        "variant": name_of(config),
        "objective": config.objective.name,
        "num_samples": config.num_samples,
        "batch_size": config.train.examples_per_step,
        "side": side,
        **empty,
        "status": "done",
        "reason": "",
        **metric,
    }
