"""The section [budget] of a study: what every variant may train for, alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from vaebench.config.run_config import RunConfig
from vaebench.config.sections import AtLeastOne, Positive
from vaebench.core.errors import InputError

StepMs = Callable[[RunConfig], float]
"""How many milliseconds a training step of a run takes. Raises InputError where it is not known."""
AMOUNTS = ("steps", "decoder_evaluations", "seconds")


class TrainingBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each run trains for: steps, decoder evaluations or seconds, the same for all."""

    steps: AtLeastOne | None = None
    decoder_evaluations: AtLeastOne | None = None
    """Steps x samples x examples of a step."""
    seconds: Positive | None = None
    """Steps x the time of a step, as a timing pass has recorded it: no clock decides a study."""
    timings: str = ""
    """For seconds: the results folder whose timing pass has timed these variants."""

    def __post_init__(self) -> None:
        """Raises InputError for no amount, several, and seconds of an unknown clock."""
        amounts = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(amounts) != 1:
            raise InputError(
                f"budget must be one of {', '.join(AMOUNTS)}; got {' and '.join(amounts) or 'none'}"
            )
        if (self.seconds is not None) != bool(self.timings):
            raise InputError(
                'budget.seconds and budget.timings go together: timings = "FOLDER" names the '
                "results folder whose timing pass says what a step takes; run the study there first"
            )

    def num_steps(self, config: RunConfig, step_ms: StepMs | None) -> int:
        """How many whole steps the budget has for a run. Raises InputError where there is none."""
        if self.steps is not None:
            return self.steps
        if self.decoder_evaluations is not None:
            num = self.decoder_evaluations // config.evaluations_per_step
            cost = f"{config.evaluations_per_step} decoder evaluations"
        else:
            if step_ms is None:
                raise InputError("budget.seconds is for `vaebench run`: give steps instead")
            num = int(1e3 * (self.seconds or 0.0) / step_ms(config))
            cost = f"{step_ms(config):.3g} ms"
        if num < 1:
            raise InputError(
                f"the budget must be enough for a step of every variant; one of {config.variant} "
                f"takes {cost}: raise the budget"
            )
        return num


def within(budget: TrainingBudget, config: RunConfig, step_ms: StepMs | None) -> RunConfig:
    """The run with as many steps as the budget has for it."""
    train = msgspec.structs.replace(config.train, num_steps=budget.num_steps(config, step_ms))
    return msgspec.structs.replace(config, train=train)


def check_unset(table: dict[str, Any]) -> None:
    """Raises InputError where a study with a budget sets the number of steps as well."""
    if "num_steps" in table.get("train", {}):
        raise InputError("train.num_steps does nothing, [budget] sets it: remove one of them")
