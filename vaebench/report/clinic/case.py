"""A run as the rules of the clinic see it, and what they say of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.results import Metric, Record

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
    _curves: dict[str, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_done(self) -> bool:
        """Whether there are figures to judge it by."""
        return self.record.status == "done"

    @cached_property
    def figures(self) -> Mapping[str, Metric]:
        """The metrics of the run, by their names."""
        return {metric.metric: metric for metric in self.record.metrics}

    def figure(self, name: str) -> float:
        """A metric of the run; NaN where it was not graded."""
        return self._number(name, "value")

    def reference(self, name: str) -> float:
        """What real data score by a metric; NaN where that is not known."""
        return self._number(name, "reference")

    def _number(self, name: str, field: str) -> float:
        value = getattr(self.figures.get(name), field, None)
        return math.nan if value is None else value

    def doubt(self, name: str) -> str:
        """Why a metric is not to be trusted; "" where it is."""
        return self.figures[name].trust if name in self.figures else ""

    def curve(self, name: str) -> Array:
        """A learning curve [points], NaN where a point has no value; empty where there is none."""
        if name not in self._curves:
            values = self.record.curves.get(name, [])
            self._curves[name] = np.array(values, dtype=float)  # which makes NaN of None
        return self._curves[name]

    @cached_property
    def whole_elbo(self) -> list[float]:
        """The validation ELBO at each point of the learning curve, of a run that is done and has
        a value at each; else empty. Of so few, lists are faster than arrays."""
        values = self.record.curves.get("valid_elbo_nats", [])
        elbo = [value for value in values if value is not None and math.isfinite(value)]
        return elbo if self.is_done and len(elbo) == len(values) else []

    def setting(self, *path: str) -> Any:
        """A value of the run's configuration by its place; None where there is none."""
        value: Any = self.record.config
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    @property
    def warm_up_steps(self) -> float:
        """Steps until the weight on the rate has its last value; 0 without a schedule that says."""
        over = self.setting("rate_weight", "hyper", "over")
        steps = self.setting("train", "num_steps")
        return float(over * steps) if over and steps else 0.0


Rule = Callable[[Case], Finding | None]
