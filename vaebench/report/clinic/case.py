"""A run as the rules of the clinic see it, and what they say of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.results import Record

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """What is wrong with a run."""

    name: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Case:
    """The record of a run, with what its figures are means of."""

    record: Record
    parts: Mapping[str, Array] = field(default_factory=dict)
    """By metric: the values of examples, or of dimensions."""

    @property
    def is_done(self) -> bool:
        """Whether there are figures to judge it by."""
        return self.record.status == "done"

    def figure(self, name: str) -> float:
        """A metric of the run; NaN where it was not graded."""
        values = (m.value for m in self.record.metrics if m.metric == name)
        value = next(values, None)
        return math.nan if value is None else value

    def reference(self, name: str) -> float:
        """What real data score by a metric; NaN where that is not known."""
        values = (m.reference for m in self.record.metrics if m.metric == name)
        value = next(values, None)
        return math.nan if value is None else value

    def doubt(self, name: str) -> str:
        """Why a metric is not to be trusted; "" where it is."""
        return next((m.trust for m in self.record.metrics if m.metric == name), "")

    def curve(self, name: str) -> Array:
        """A learning curve [points], NaN where a point has no value; empty where there is none."""
        values = self.record.curves.get(name, [])
        return np.array([math.nan if v is None else v for v in values], dtype=float)

    def setting(self, *path: str) -> Any:
        """A value of the run's configuration by its place; None where there is none."""
        value: Any = self.record.config
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    @property
    def warm_up_steps(self) -> float:
        """Steps until the weight on the rate has its last value; 0 without a schedule that says."""
        over = self.setting("rate_weight", "hyper", "over")
        steps = self.setting("train", "num_steps")
        return float(over * steps) if over and steps else 0.0


Rule = Callable[[Case], Finding | None]
