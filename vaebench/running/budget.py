"""A study's training budget in steps, where it is of seconds: by the times of a timing pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.study import Refusal, Study, expand
from vaebench.config.study import tried as study_tried
from vaebench.config.training_budget import StepMs
from vaebench.core.errors import InputError
from vaebench.results import Labels
from vaebench.running.recording import labels

Timed = Mapping[tuple[str, ...], float]
"""Milliseconds of a step, by what it depends on."""
DECISIVE = (
    *("model.", "train.batch_size", "train.accumulate", "train.precision", "train.max_grad_norm"),
    "plugin",
)
"""Beginnings of the settings that the time of a step depends on."""


def expanded(study: Study) -> list[RunConfig]:
    """Every run of the study, with the steps of its budget. Raises InputError."""
    return expand(study, _step_ms(study))


def tried(study: Study) -> tuple[list[RunConfig], list[Refusal]]:
    """The runs of the study that are accepted, and the refusals of the others."""
    return study_tried(study, _step_ms(study))


def note(out: Path, study: Study, configs: Sequence[RunConfig]) -> None:
    """Write OUT/budget.json: which budget the study has, and the steps and cost of each run."""
    if study.budget is None:
        return
    amounts = {n: v for n in study.budget.__struct_fields__ if (v := getattr(study.budget, n))}
    step_ms = _step_ms(study)
    rows = [
        {
            "run": config.id,
            "variant": config.variant,
            "budget": amounts,
            "num_steps": config.train.num_steps,
            "decoder_evaluations": config.train.num_steps * config.evaluations_per_step,
            "step_time_ms": step_ms(config) if step_ms else None,
        }
        for config in configs
    ]
    results.write_rows(out, "budget", rows)


def _step_ms(study: Study) -> StepMs | None:
    """What a step takes, where the budget is of seconds."""
    if study.budget is None or study.budget.seconds is None:
        return None
    folder = Path(study.budget.timings)
    timed = _timed(folder)

    def step_ms(config: RunConfig) -> float:
        time = timed.get(_key(labels(config, seed=None)))
        if time is None:
            raise InputError(
                f"budget.timings must have timed every variant; {folder} has no time of "
                f"{config.variant} ({config.likelihood}) with these settings: run the study with "
                f"steps in a folder first, and name that"
            )
        return time

    return step_ms


def _timed(folder: Path) -> Timed:
    """The times of a folder's timing pass. Raises InputError where there is none."""
    passed = results.timings(folder)
    if not passed:
        raise InputError(
            f"budget.timings must be a results folder with a timing pass; {folder} has none: "
            f"`vaebench run` makes one at its end"
        )
    return {
        _key(timing.labels): metric.value
        for timing in passed
        for metric in timing.metrics
        if metric.metric == "step_time" and metric.value
    }


def _key(of: Labels) -> tuple[str, ...]:
    """What the time of a step depends on: not how many there are, nor how they are graded."""
    settings = [word for word in of.settings.split() if word.startswith(DECISIVE)]
    return of.dataset, of.likelihood, of.variant, *settings
