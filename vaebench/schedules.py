"""What a scalar does over training: functions of progress, from 0 (first step) to 1 (the end)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from vaebench.hyper import Hyper
from vaebench.registry import Registry

Schedule = Callable[..., float]
SCHEDULES: Registry[Schedule] = Registry("schedule")


def linear(
    progress: float,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    over: Annotated[float, Hyper(low=1e-6, high=1.0)] = 0.2,
) -> float:
    """From start to stop over the first `over` of training, then stop.

    The KL warm-up of Bowman et al. 2016, section 3.1, and of Sonderby et al. 2016.
    """
    return start + (stop - start) * min(1.0, progress / over)


SCHEDULES.add("linear", linear)
