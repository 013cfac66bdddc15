"""Schedules of a scalar over training: functions of progress, from 0 (first step) to 1 (the end).

A schedule is a function of progress that returns the scalar's value; its keyword-only parameters
are numbers that a study may set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper, check_signature, hyperparameters
from vaebench.core.registry import Registry, named_arguments, registers


@dataclass(frozen=True)
class Schedule:
    """One entry of the registry: a scalar's value as a function of progress."""

    name: str
    value: Callable[..., float]
    """(progress, **parameters) -> the scalar's value."""
    source: str

    def __call__(self, progress: float, **parameters: Any) -> float:
        """The value at this progress. Raises InputError where the function returns no number."""
        value = self.value(progress, **parameters)
        if not isinstance(value, (int, float)):
            raise InputError(
                f"schedule {self.name!r} must return a number; got {type(value).__name__}"
            )
        return float(value)

    @property
    def hyper(self) -> dict[str, Hyper]:
        """Its parameters, by name."""
        return hyperparameters(self.value)

    def check(self) -> None:
        """Raises InputError where the function has another signature."""
        check_signature(f"schedule {self.name!r}", self.value, "progress", scalars="parameters")


SCHEDULES: Registry[Schedule] = Registry("schedule")
Value = TypeVar("Value", bound=Callable[..., float])


@named_arguments
def schedule(*, source: str) -> Callable[[Value], Value]:
    """Register the decorated function of progress under its own name.

    Raises InputError where the function has another signature.
    """
    return registers(SCHEDULES, lambda name, value: Schedule(name, value, source=source))


Share = Annotated[float, Hyper(low=1e-6, high=1.0)]


@schedule(source="Sonderby et al. 2016, section 2.3, the KL warm-up")
def linear(progress: float, *, start: float = 0.0, stop: float = 1.0, over: Share = 0.2) -> float:
    """From start to stop over the first `over` of training, then stop.

    With start 0 and stop 1 on the rate it is the KL warm-up of its source.
    """
    return start + (stop - start) * min(1.0, progress / over)


@schedule(source="Bowman et al. 2016, section 3.1, the KL annealing")
def sigmoid(
    progress: float,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    middle: Annotated[float, Hyper(low=0.0, high=1.0)] = 0.2,
    width: Share = 0.04,
) -> float:
    """From start to stop along a logistic curve, half-way at `middle`, 3/4 there `width` x 1.1 on.

    It begins and ends near start and stop, not at them.
    """
    x = (progress - middle) / width
    share = 1.0 / (1.0 + math.exp(-x)) if x > -500.0 else 0.0
    return start + (stop - start) * share


@schedule(source="Fu et al. 2019, eq. 6 and 7, with a linear rise")
def cyclical(
    progress: float,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    cycles: Annotated[int, Hyper(low=1)] = 4,
    rising: Share = 0.5,
) -> float:
    """`cycles` times: from start to stop over the first `rising` of the cycle, then stop."""
    within = (progress * cycles) % 1.0 if progress < 1.0 else 1.0
    return start + (stop - start) * min(1.0, within / rising)


@schedule(source="Loshchilov & Hutter 2017, eq. 5, without restarts, after a linear warm-up")
def cosine(
    progress: float,
    *,
    start: float = 1e-3,
    stop: float = 0.0,
    warm_up: Annotated[float, Hyper(low=0.0, high=0.999)] = 0.0,
) -> float:
    """From 0 to start over the first `warm_up` of training, then along half a cosine to stop."""
    if progress < warm_up:
        return start * progress / warm_up
    share = (progress - warm_up) / (1.0 - warm_up)
    return stop + (start - stop) * (1.0 + math.cos(math.pi * share)) / 2.0


OnLogScale = Annotated[float, Hyper(low=1e-30)]
Milestone = Annotated[float, Hyper(low=0.0, high=1.0)]


@schedule(source="He et al. 2016, section 4.2: a tenth from one half on, a hundredth from 3/4 on")
def milestones(
    progress: float,
    *,
    start: OnLogScale = 1e-3,
    stop: OnLogScale = 1e-5,
    first: Milestone = 0.5,
    second: Milestone = 0.75,
    third: Milestone = 1.0,
) -> float:
    """From start to stop by the same factor at each milestone; one at 1 is none."""
    used = [milestone for milestone in (first, second, third) if milestone < 1.0]
    passed = sum(milestone <= progress for milestone in used)
    return start * (stop / start) ** (passed / max(1, len(used)))


ROUNDING = 1e-9
"""What a whole number may be short of; a step in 10^7 changes it by more."""


@schedule(source="Burda et al. 2016, section 5: 0.001 * 10^(-i/7) for 3^i passes, i = 0 ... 7")
def tripling(
    progress: float,
    *,
    start: OnLogScale = 1e-3,
    stop: OnLogScale = 1e-4,
    stages: Annotated[int, Hyper(low=2, high=30)] = 8,
) -> float:
    """From start to stop by the same factor after each stage, each 3 times as long as the last.

    Stage i of n, from 0, begins at the share (3^i - 1) / (3^n - 1) of training.
    """
    stage = math.floor(math.log(1.0 + progress * (3.0**stages - 1.0), 3.0) + ROUNDING)
    return start * (stop / start) ** (min(stage, stages - 1) / (stages - 1))
