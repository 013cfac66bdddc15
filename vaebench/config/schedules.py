"""What a scalar does over training: functions of progress, from 0 (first step) to 1 (the end)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from vaebench.core.hyper import Hyper
from vaebench.core.registry import Registry

Schedule = Callable[..., float]
SCHEDULES: Registry[Schedule] = Registry("schedule")

Share = Annotated[float, Hyper(low=1e-6, high=1.0)]


def linear(progress: float, *, start: float = 0.0, stop: float = 1.0, over: Share = 0.2) -> float:
    """From start to stop over the first `over` of training, then stop.

    The KL warm-up of Sonderby et al. 2016, section 2.3.
    """
    return start + (stop - start) * min(1.0, progress / over)


def sigmoid(
    progress: float,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    middle: Annotated[float, Hyper(low=0.0, high=1.0)] = 0.2,
    width: Share = 0.04,
) -> float:
    """From start to stop along a logistic curve, half-way at `middle`, 3/4 there `width` x 1.1 on.

    The KL annealing of Bowman et al. 2016, section 3.1. It begins and ends near start and stop, not
    at them.
    """
    x = (progress - middle) / width
    share = 1.0 / (1.0 + math.exp(-x)) if x > -500.0 else 0.0
    return start + (stop - start) * share


def cyclical(
    progress: float,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    cycles: Annotated[int, Hyper(low=1)] = 4,
    rising: Share = 0.5,
) -> float:
    """`cycles` times: from start to stop over the first `rising` of the cycle, then stop.

    Fu et al. 2019, eq. 6 and 7, with a linear rise.
    """
    within = (progress * cycles) % 1.0 if progress < 1.0 else 1.0
    return start + (stop - start) * min(1.0, within / rising)


for _schedule in (linear, sigmoid, cyclical):
    SCHEDULES.add(_schedule.__name__, _schedule)
