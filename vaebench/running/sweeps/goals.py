"""What trials are judged by: targets and constrained metrics, on the validation part alone."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data, subject
from vaebench.config.sweep import Limits, SweepConfig
from vaebench.core.errors import InputError, near_match
from vaebench.evaluation import GRADINGS, Grade, evaluate
from vaebench.results import UNITS, Record

STEP_TIME = "step_time"
"""The metric that no grading gives: the milliseconds of a training step, from a timing pass."""
FEW_SAMPLES = 2
"""Samples and images of the grading by which it is seen which metrics there are."""


@dataclass(frozen=True)
class Goal:
    """One metric of a trial."""

    name: str
    higher_is_better: bool | None
    grading: str = ""
    """The grading that gives it; "" for the bounds, which every trial has, and the step time."""

    @property
    def column(self) -> str:
        """Its name in the records of trials."""
        return self.name if self.name == STEP_TIME else f"valid_{self.name}"

    @property
    def worst(self) -> float:
        """The value of a trial that was lost."""
        return -math.inf if self.higher_is_better else math.inf


USUAL = {
    "nll": Goal("nll", False),
    "elbo": Goal("elbo", True),
    STEP_TIME: Goal(STEP_TIME, False),
}


@dataclass(frozen=True)
class Goals:
    """The targets of a sweep in order, its limits, and all metrics of both by name."""

    targets: tuple[Goal, ...]
    limits: Mapping[str, Limits]
    by_name: Mapping[str, Goal]

    @property
    def directions(self) -> list[str]:
        """What Optuna does with each target."""
        return ["maximize" if goal.higher_is_better else "minimize" for goal in self.targets]

    @property
    def graded(self) -> dict[str, str]:
        """The metrics that trials need beside the bounds, each with its grading."""
        return {goal.name: goal.grading for goal in self.by_name.values() if goal.grading}

    @property
    def timed(self) -> bool:
        """Whether the time of a step is among them."""
        return STEP_TIME in self.by_name

    def measured(self, records: Sequence[Record], step_ms: float) -> dict[str, float]:
        """The mean of each metric over a trial's runs; NaN where a run has no finite value."""
        means = {name: _mean(records, goal.column) for name, goal in self.by_name.items()}
        return means | ({STEP_TIME: step_ms} if self.timed else {})

    def exceeded(self, measured: Mapping[str, float]) -> dict[str, float]:
        """By how much each limit is exceeded; 0 or less where it is kept."""
        amounts: dict[str, float] = {}
        for name, limits in self.limits.items():
            if limits.max is not None:
                amounts[f"{name} at most {limits.max:g}"] = measured[name] - limits.max
            if limits.min is not None:
                amounts[f"{name} at least {limits.min:g}"] = limits.min - measured[name]
        return amounts


def goals_of(sweep: SweepConfig, config: RunConfig) -> Goals:
    """The goals of a sweep. Raises InputError for a metric that the study does not grade, and a
    target that is neither to be high nor low."""
    wanted = [*sweep.targets, *sweep.constraints]
    known = (_graded(config, set(wanted)) if set(wanted) - set(USUAL) else {}) | USUAL
    for name in wanted:
        if name not in known:
            raise InputError(
                f"a sweep's target must be a metric that the study grades; got {name!r}; "
                f"{near_match(name, known)}; [base] evaluate.gradings says what is graded"
            )
    for name in sweep.targets:
        if known[name].higher_is_better is None:
            raise InputError(
                f"a target must be better high, or better low; {name!r} is neither: give it limits "
                f"in [sweep.constraints]"
            )
    targets = tuple(known[name] for name in sweep.targets)
    return Goals(targets, sweep.constraints, {name: known[name] for name in wanted})


def _graded(config: RunConfig, wanted: set[str]) -> dict[str, Goal]:
    """The metrics of the study's gradings, as an untrained model shows; until all are found."""
    dataset = load_data(config.data)
    few = replace(config.evaluate, num_samples=FEW_SAMPLES)
    untrained = replace(config, evaluate=few)
    model = build_stack([untrained], dataset.image_shape, dataset.log_volume)
    of_valid = dataclasses.replace(dataset, test=dataset.valid)
    goals: dict[str, Goal] = {}
    for name, hyper in config.evaluate.wanted.items():
        small = {**hyper, **GRADINGS[name].small}
        grades = evaluate(subject(model, of_valid, [untrained]), {name: small}).grades
        goals |= {g.name: Goal(g.name, _direction(g), name) for g in grades}
        if wanted <= set(goals) | set(USUAL):
            break
    return goals


def _direction(grade: Grade) -> bool | None:
    return UNITS[grade.name][1] if grade.name in UNITS else grade.higher_is_better


def _mean(records: Sequence[Record], metric: str) -> float:
    values = [m.value for record in records for m in record.metrics if m.metric == metric]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(finite) if finite and len(finite) == len(records) else math.nan
