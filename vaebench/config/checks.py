"""What is refused of a configuration whose values are valid: parts that do not go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from vaebench.config.compatibility import refusal
from vaebench.config.run_config import RunConfig
from vaebench.config.schedules import SCHEDULES
from vaebench.config.sections import Choice, DataConfig, EvaluateConfig, ModelConfig, TrainConfig
from vaebench.core.arguments import instance
from vaebench.core.errors import InputError
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS, Likelihood
from vaebench.objectives import Objective

PARTS: Mapping[str, type] = {
    **dict.fromkeys(("objective", "likelihood", "posterior", "prior"), Choice),
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
}
"""The classes of the parts of a configuration."""


def check_parts(config: RunConfig) -> None:
    """Raises InputError for what no configuration is made of, before its numbers are looked at."""
    instance("a configuration", config, RunConfig, "vb.RunConfig(objective=..., likelihood=...)")
    for part, value in msgspec.structs.asdict(config).items():
        if (kind := PARTS.get(part)) is not None:
            instance(part, value, kind, f"vb.{kind.__name__}(...)")
        try:
            msgspec.to_builtins(value)
        except TypeError as error:
            raise InputError(f"{part} must hold numbers and words; {error}") from error


def check_observed(data: DataConfig, likelihood: Likelihood) -> None:
    """Raises InputError for data that are observed in a way that the likelihood does not take."""
    if data.dequantise and data.binarisation != "none":
        raise InputError(
            f"dequantised data must have binarisation 'none'; got {data.binarisation!r}"
        )
    if data.library_size and not likelihood.log_mean:
        fitting = [name for name, entry in LIKELIHOODS.items() if entry.log_mean]
        raise InputError(
            f"data.library_size needs a likelihood whose mean a library size multiplies; "
            f"{likelihood.name!r} is none: choose {' or '.join(map(repr, fitting))}"
        )
    if data.dequantise and likelihood.measure == "mass":
        raise InputError(
            f"dequantised data need a likelihood that is a density; {likelihood.name!r} gives "
            f"probabilities to the stored levels: remove dequantise"
        )


def check_no_schedule(kind: str, choice: Choice) -> None:
    """Raises InputError for a hyperparameter that changes in training where it may not."""
    for name, value in choice.hyper.items():
        if isinstance(value, Choice):
            raise InputError(
                f"{kind} {choice.name!r}: {name} must be a number, it has no schedule; "
                f"got {str(value)!r}"
            )


def check_ends(rate: Choice) -> None:
    """Raises InputError for a learning rate that would go to 1, where a schedule of weights goes
    that is told of no end."""
    declared = SCHEDULES[rate.name].hyper if rate.name in SCHEDULES else {}
    ends = {name: declared[name].default for name in ("start", "stop") if name in declared}
    if 1.0 in (default for name, default in ends.items() if name not in rate.hyper):
        raise InputError(
            f"train.learning_rate must have both ends; schedule {rate.name!r} goes to a weight of "
            f"1 where it is not told: give start and stop, as in {{name = {rate.name!r}, start = "
            f"0.0, stop = 1e-3}}"
        )


def check_combination(config: RunConfig, counts: Sequence[str]) -> None:
    """Raises InputError for parts that cannot be combined, with the reason."""
    reason = refusal(
        config.objective.name,
        config.likelihood.name,
        config.posterior.name,
        config.prior.name,
        config.num_samples,
        tuple((name, int(cast(float, config.objective.hyper[name]))) for name in counts),
        config.model.latent,
        len(config.layer_weights),
    )
    if reason:
        raise InputError(f"objective {config.objective.name!r} is refused: {reason}")


def check_output_bias(model: ModelConfig, likelihood: Likelihood) -> None:
    """Raises InputError for a start at the data's mean that the likelihood cannot be given."""
    if MODELS[model.name].starts_at_data(model.hyper) and likelihood.outputs_at is None:
        fitting = [name for name, entry in LIKELIHOODS.items() if entry.outputs_at is not None]
        raise InputError(
            f"model.output_bias = 'data' needs a likelihood that says which outputs have a mean; "
            f"{likelihood.name!r} does not: leave output_bias out, or choose {', '.join(fitting)}"
        )


def check_ranked(evaluate: EvaluateConfig) -> None:
    """Raises InputError for an evaluation without the grading that ranks variants."""
    if "likelihood" not in evaluate.wanted:
        raise InputError(
            f"evaluate.gradings must hold 'likelihood', by which variants are ranked; "
            f"got {', '.join(evaluate.wanted) or 'none'}"
        )


def check_batch(config: RunConfig, objective: Objective) -> None:
    """Raises InputError for batches of one example where the objective compares examples."""
    if objective.compares_examples and config.train.batch_size < 2:
        raise InputError(
            f"objective {objective.name!r} compares the examples of a batch: train.batch_size must "
            f"be at least 2; got {config.train.batch_size}"
        )
    if _normalises(config) and config.train.batch_size < 2:
        raise InputError(
            f"model.norm = 'batch' needs examples to normalise over: train.batch_size must be at "
            f"least 2; got {config.train.batch_size}"
        )


def _normalises(config: RunConfig) -> bool:
    return MODELS[config.model.name].normalises(config.model.hyper)


def check_accumulation(config: RunConfig, objective: Objective, likelihood: Likelihood) -> None:
    """Raises InputError for microbatches where the loss of a step is no mean over examples."""
    if config.train.accumulate == 1:
        return
    reasons = {
        f"objective {objective.name!r} compares the examples of a batch": (
            objective.compares_examples
        ),
        f"objective {objective.name!r} keeps a state that a whole batch moves": objective.state,
        f"likelihood {likelihood.name!r} is fitted to a whole batch": likelihood.fitted,
        f"model {config.model.name!r} is normalised over a whole batch": _normalises(config),
    }
    for reason in (reason for reason, holds in reasons.items() if holds):
        raise InputError(
            f"train.accumulate needs a loss that is a mean over examples; {reason}: raise "
            f"train.batch_size instead"
        )
