"""A configuration with every default written out, and every name and value checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vaebench.config.checks import (
    check_accumulation,
    check_batch,
    check_combination,
    check_ends,
    check_no_schedule,
    check_observed,
    check_output_bias,
    check_parts,
    check_ranked,
)
from vaebench.config.convert import convert, long_form
from vaebench.config.functions import plugin_fingerprint
from vaebench.config.layers import check_weights, completed_layers
from vaebench.config.places import CHOICES
from vaebench.config.run_config import RunConfig
from vaebench.config.schedules import SCHEDULES
from vaebench.config.sections import Choice, EvaluateConfig, ModelConfig, TrainConfig
from vaebench.core.arguments import shown
from vaebench.core.errors import InputError, near_match
from vaebench.core.hyper import Hyper, Setting, complete
from vaebench.core.registry import Registry
from vaebench.evaluation import GRADINGS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.models.terms import RATE_WEIGHT
from vaebench.objectives import OBJECTIVES

Weights = float | Choice | tuple[float | Choice, ...]
LEARNING_RATE = Hyper(low=0.0)
"""A schedule may begin or end at 0."""
SEVERAL = 'several values are an axis: [axes] "{place}" = {values}'
"""The hint for a list where one value is due."""


def parse(raw: dict[str, Any]) -> RunConfig:
    """A completed RunConfig from a nested table, as a study has it.

    Choices may be written short: "elbo", or {name = "beta_elbo", beta = 4.0}. Raises InputError
    that names the key, for unknown keys, wrong types, unknown names and values out of range.
    """
    table = dict(raw)
    for name in CHOICES:
        if name in table:
            table[name] = _long_choice(name, table[name])
    if isinstance(model := table.get("model"), dict):
        table["model"] = _long_model(model)
    if isinstance(train := table.get("train"), dict) and "learning_rate" in train:
        rate = long_form("train.learning_rate", train["learning_rate"])
        table["train"] = train | {"learning_rate": rate}
    if isinstance(settings := table.get("evaluate"), dict):
        table["evaluate"] = _long_gradings(settings)
    return _completed(convert(table, RunConfig, several=SEVERAL, places=hyper_places()))


def _long_choice(name: str, value: Any) -> Any:
    """A choice, or the list of those of layers, with the fields of an entry."""
    if name == "rate_weight" and isinstance(value, list | tuple):
        return [long_form(f"{name}[{i}]", of_layer) for i, of_layer in enumerate(value)]
    return long_form(name, value)


def _long_model(table: dict[str, Any]) -> dict[str, Any]:
    """The table of a model that declares hyperparameters, with these apart from the sizes that all
    models have."""
    name, hyper = table.get("name", ModelConfig().name), table.get("hyper", {})
    if not (isinstance(name, str) and isinstance(hyper, dict)):
        return table  # which is refused where it is converted
    if name not in MODELS or not MODELS[name].hyper:
        return table
    flat = {key: value for key, value in table.items() if key != "hyper"} | hyper
    sizes = ModelConfig.__struct_fields__
    declared = {key: value for key, value in flat.items() if key not in sizes}
    return {key: value for key, value in flat.items() if key in sizes} | {"hyper": declared}


def hyper_places() -> Iterator[str]:
    """The dotted places of the hyperparameters of every entry."""
    registries: dict[str, Registry[Any]] = {
        "model": MODELS,
        "objective": OBJECTIVES,
        "likelihood": LIKELIHOODS,
        "posterior": POSTERIORS,
        "prior": PRIORS,
    }
    for kind, registry in registries.items():
        yield from (f"{kind}.{name}" for entry in registry.values() for name in entry.hyper)


def _long_gradings(table: dict[str, Any]) -> dict[str, Any]:
    listed = table.get("gradings")
    if not isinstance(listed, list | tuple):
        return table
    return table | {"gradings": [long_form("gradings", value) for value in listed]}


def completed(config: RunConfig) -> RunConfig:
    """The configuration with every default written out, and every name and value checked.

    Raises InputError for an unknown name, a value out of range and parts that do not fit together.
    """
    check_parts(config)  # one made in Python has not been checked
    convert(msgspec.to_builtins(config), RunConfig)
    return _completed(config)


def _completed(config: RunConfig) -> RunConfig:
    """Complete a configuration whose types were checked."""
    likelihood, objective = LIKELIHOODS[config.likelihood.name], OBJECTIVES[config.objective.name]
    posterior, prior = POSTERIORS[config.posterior.name], PRIORS[config.prior.name]
    check_observed(config.data, likelihood)
    if objective.ignores_rate and config.rate_weight != 1.0:
        raise InputError(f"objective {objective.name!r} ignores the rate: remove rate_weight")
    check_no_schedule("likelihood", config.likelihood)
    check_no_schedule("prior", config.prior)
    done = msgspec.structs.replace(
        config,
        model=completed_layers(_completed_model(config.model), posterior, prior),
        train=_completed_training(config.train),
        objective=completed_choice("objective", config.objective, objective.hyper),
        likelihood=completed_choice("likelihood", config.likelihood, likelihood.hyper),
        posterior=completed_choice("posterior", config.posterior, posterior.hyper),
        prior=completed_choice("prior", config.prior, prior.hyper),
        evaluate=_completed_evaluation(config.evaluate),
        rate_weight=_completed_weights(config.rate_weight),
        plugin=plugin_fingerprint(config),
    )
    check_weights(done)
    check_combination(done, objective.counts)
    check_output_bias(done.model, likelihood)
    check_ranked(done.evaluate)
    check_batch(done, objective)
    check_accumulation(done, objective, likelihood)
    return done


def _completed_weights(weights: Weights) -> Weights:
    """The weight on the rate, or the weights of its layers, with the defaults of schedules."""
    if not isinstance(weights, tuple):
        return _completed_value("rate_weight", weights, RATE_WEIGHT)
    return tuple(
        _completed_value(f"rate_weight[{i}]", weight, RATE_WEIGHT)
        for i, weight in enumerate(weights)
    )


def _completed_training(train: TrainConfig) -> TrainConfig:
    if isinstance(train.learning_rate, Choice):
        check_ends(train.learning_rate)
    rate = _completed_value("train.learning_rate", train.learning_rate, LEARNING_RATE)
    return msgspec.structs.replace(train, learning_rate=rate)


def _completed_evaluation(evaluate: EvaluateConfig) -> EvaluateConfig:
    """The evaluation with its gradings' defaults. Raises InputError for one that is there twice."""
    names = [choice.name for choice in evaluate.gradings]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"evaluate.gradings must differ; {twice[0]!r} is there twice")
    done = tuple(
        completed_choice("grading", choice, GRADINGS[choice.name].hyper)
        for choice in evaluate.gradings
    )
    for choice in done:
        check_no_schedule("grading", choice)
    return msgspec.structs.replace(evaluate, gradings=done)


def _completed_model(model: ModelConfig) -> ModelConfig:
    """The model with its hyperparameters' defaults. Raises InputError for what it does not take."""
    entry, what = MODELS[model.name], f"model {model.name!r}"
    sizes = ModelConfig.__struct_fields__
    if both := [name for name in entry.hyper if name in sizes]:
        raise InputError(f"{what}: {both[0]!r} is a setting that every model has: rename yours")
    widths: tuple[int, ...] = model.widths
    if not entry.takes_widths:
        if widths not in ((), ModelConfig().widths):
            known = ", ".join(entry.hyper) or "none"
            raise InputError(
                f"{what} takes no widths, its sizes are its own hyperparameters ({known}); got "
                f"widths = {list(widths)}: remove them"
            )
        widths = ()
    if reason := entry.refuses_widths(widths):
        raise InputError(f"{what} is refused: {reason}")
    for name in model.hyper:
        if name not in entry.hyper:
            known = near_match(name, [*entry.hyper, *sizes])
            raise InputError(f"{what} has no hyperparameter {name!r}; {known}")
    values = complete(what, entry.hyper, model.hyper)
    hyper = {
        name: _completed_setting(f"{what}: {name}", value, entry.hyper[name])
        for name, value in values.items()
    }
    return msgspec.structs.replace(model, widths=widths, hyper=hyper)


def _completed_setting(what: str, value: Any, setting: Setting) -> bool | int | float | str:
    """A hyperparameter of a model as its function is given it: a count as a whole number."""
    setting.check(what, value)
    if isinstance(setting, Hyper):
        return int(value) if setting.integer else float(value)
    word: bool | str = value
    return word


def chosen(registry: Registry[Any], value: Any) -> Choice:
    """An entry without schedules, "gaussian" or {name = ..., sigma = 0.1}, with its defaults.

    Raises InputError for an unknown name and for a value that is not valid.
    """
    choice = convert(long_form(registry.kind, value), Choice)
    done = completed_choice(registry.kind, choice, registry[choice.name].hyper)
    check_no_schedule(registry.kind, done)
    return done


def evaluation_settings(table: Mapping[str, Any]) -> EvaluateConfig:
    """The settings of an evaluation, from the table of a study. Raises InputError."""
    if not isinstance(table, Mapping):
        raise InputError(
            f"the settings of an evaluation must be a table, as {{'num_samples': 500}}; got "
            f"{shown(table)}"
        )
    return _completed_evaluation(convert(_long_gradings(dict(table)), EvaluateConfig))


def completed_choice(kind: str, choice: Choice, declared: Mapping[str, Hyper]) -> Choice:
    """An entry's name with all its values. Raises InputError for one that is not valid."""
    what = f"{kind} {choice.name!r}"
    values = complete(what, declared, choice.hyper)
    return Choice(
        choice.name,
        {k: _completed_value(f"{what}: {k}", v, declared[k]) for k, v in values.items()},
    )


def _completed_value(what: str, value: float | Choice, hyper: Hyper) -> float | Choice:
    """A number, or a schedule with its defaults, checked to be in range all through training."""
    if not isinstance(value, Choice):
        hyper.check(what, value)
        return value
    if any(isinstance(inner, Choice) for inner in value.hyper.values()):
        raise InputError(f"{what}: the parameters of a schedule must be numbers; got {value}")
    if hyper.integer:
        raise InputError(f"{what} is a whole number, which has no schedule; got {str(value)!r}")
    if value.name not in SCHEDULES:
        hint = near_match(value.name, SCHEDULES)
        raise InputError(f"{what} must be a number or a schedule; got {value.name!r}; {hint}")
    schedule = completed_choice("schedule", value, SCHEDULES[value.name].hyper)
    for progress in range(101):
        hyper.check(what, SCHEDULES[schedule.name](progress / 100, **schedule.hyper))
    return schedule
