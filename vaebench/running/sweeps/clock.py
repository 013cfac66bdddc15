"""The time of a training step of a trial, from a timing pass; measured once for each shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from vaebench.config import RunConfig
from vaebench.running.environment import default_device
from vaebench.running.timing import Variant, timing_pass

STEP_MS = "step_ms"
"""How user attributes of a search begin that hold a time, before the key of the stack."""


@dataclass(frozen=True)
class Clock:
    """Milliseconds of a step and run, kept where the trials are: a time that was measured again
    would be another, and the trials after it too."""

    stored: optuna.Study
    is_needed: bool

    def step_ms(self, runs: Sequence[RunConfig]) -> float:
        """The time of a step of these runs in one stack; 0 where nobody asks for it."""
        if not self.is_needed:
            return 0.0
        name = f"{STEP_MS} {runs[0].stack_key}"
        known = self.stored.user_attrs
        if name not in known:
            records = timing_pass([Variant(runs)], self.stored.study_name, str(default_device()))
            times = [m.value for r in records for m in r.metrics if m.metric == "step_time"]
            self.stored.set_user_attr(name, times[0] if times else float("nan"))
            known = self.stored.user_attrs
        return float(known[name])
