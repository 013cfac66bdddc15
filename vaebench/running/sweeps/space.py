"""What the search of a variant draws from: ranges that entries declare, and those of the study."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from vaebench.config import CHOICES, Choice, RunConfig, parse, value_at, with_value
from vaebench.config.complete import hyper_places
from vaebench.config.resolve import resolve
from vaebench.config.schedules import SCHEDULES
from vaebench.config.sweep import SearchRange
from vaebench.core.errors import InputError, near_match
from vaebench.core.hyper import Hyper
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES

Params = Mapping[str, Any]
"""What a trial draws, by dotted place: numbers, and the labels of choices."""
Wanted = Mapping[str, SearchRange | list[Any]]
"""The ranges and lists of choices of a study, by dotted place."""
NOT_SEARCHED = {
    "data": "trials are compared on the same data",
    "evaluate": "trials are compared by the same evaluation",
    "seed": "every trial has the seeds of the axes",
    "plugin": "it is filled in when a study is read",
}
"""Parts of a run that no range may change, with the reason."""
LEARNING_RATE = SearchRange(1e-4, 1e-2, log=True)
"""Searched for every variant, as no two objectives have one best rate."""


@dataclass(frozen=True)
class Space:
    """The distributions of a variant's trials, by dotted place, and what labels stand for."""

    distributions: Mapping[str, BaseDistribution]
    choices: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    """The value that each label stands for, where a place has choices."""

    def values(self, params: Params) -> dict[str, Any]:
        """The values of a run's fields by their places, for what a trial has drawn."""
        return {
            place: self.choices[place][drawn] if place in self.choices else drawn
            for place, drawn in params.items()
        }

    def configured(self, config: RunConfig, params: Params) -> RunConfig:
        """The run with what a trial has drawn. Raises InputError where that is refused."""
        return with_values(config, self.values(params))


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The run with other values at some places. Raises InputError where they are refused."""
    table = msgspec.to_builtins(config)
    for place, value in values.items():
        table = with_value(table, place, value)
    return parse(table)


def search_space(config: RunConfig, wanted: Wanted, fixed: Collection[str] = ()) -> Space:
    """The space of a variant: declared ranges, the learning rate, and what the study wants.

    `fixed`: places that the axes set, which make the variant what it is and are not searched. A
    wanted hyperparameter that the variant has not is left out, and so is one that follows a
    schedule, unless the study wants it. Raises InputError for what no trial could be drawn from.
    """
    for place in wanted:
        if reason := NOT_SEARCHED.get(place.partition(".")[0]):
            raise InputError(f"{place!r} cannot be searched: {reason}")
    hypers = {place: (hyper, value) for place, hyper, value in _declared(config)}
    usual: dict[str, SearchRange] = {
        place: SearchRange(*hyper.search, log=hyper.log)
        for place, (hyper, value) in hypers.items()
        if hyper.search is not None and not isinstance(value, Choice)
    }
    ranges = {place: wish for place, wish in wanted.items() if _has(config, place, hypers)}
    wishes: dict[str, SearchRange | list[Any]] = {}
    if not isinstance(config.train.learning_rate, Choice):
        wishes["train.learning_rate"] = LEARNING_RATE
    wishes |= {place: wish for place, wish in usual.items() if not _within(place, ranges)} | ranges
    wishes = {place: wish for place, wish in wishes.items() if place not in fixed}
    if not wishes:
        raise InputError(f"{config.variant} has nothing to tune: give ranges in [sweep.space]")
    for place in ranges:
        if above := _within(place, ranges):
            raise InputError(f"[sweep.space] {place!r} lies within {above!r}: leave one of them")
    drawn = {place: _drawn(config, place, wish, hypers) for place, wish in wishes.items()}
    space = Space(
        {place: distribution for place, (distribution, _) in drawn.items()},
        {place: labels for place, (_, labels) in drawn.items() if labels},
    )
    _check_ends(config, space, [place for place in ranges if place in wishes])
    return space


def check_used(wanted: Wanted, spaces: Sequence[Space]) -> None:
    """Raises InputError for a wish of the study that the space of no variant holds."""
    used = {place for space in spaces for place in space.distributions}
    for place in wanted:
        if place not in used:
            known = near_match(place, {*hyper_places(), *used})
            raise InputError(
                f"[sweep.space] {place!r} is searched for no variant: none has it, or the axes set "
                f"it; {known}"
            )


def _declared(config: RunConfig) -> Iterator[tuple[str, Hyper, float | Choice]]:
    """Every hyperparameter of a run by its place, and its value; those of schedules come last."""
    scheduled = {
        **({} if config.layer_weights else {"rate_weight": config.rate_weights[0]}),
        "train.learning_rate": config.train.learning_rate,
    }
    parts = {
        "objective": (OBJECTIVES[config.objective.name].hyper, config.objective),
        "likelihood": (LIKELIHOODS[config.likelihood.name].hyper, config.likelihood),
        "posterior": (POSTERIORS[config.posterior.name].hyper, config.posterior),
        "prior": (PRIORS[config.prior.name].hyper, config.prior),
    }
    for name, setting in MODELS[config.model.name].hyper.items():
        if isinstance(setting, Hyper):
            yield f"model.{name}", setting, cast(float, config.model.hyper[name])
    for kind, (hypers, choice) in parts.items():
        for name, hyper in hypers.items():
            scheduled[f"{kind}.{name}"] = choice.hyper[name]
            yield f"{kind}.{name}", hyper, choice.hyper[name]
    for place, value in scheduled.items():
        if isinstance(value, Choice):
            for name, hyper in SCHEDULES[value.name].hyper.items():
                yield f"{place}.{name}", hyper, value.hyper[name]


def _has(config: RunConfig, place: str, hypers: Collection[str]) -> bool:
    """Whether a variant can have a place: any but the hyperparameters of other entries."""
    head, dot, name = place.partition(".")
    if head == "model" and place in hyper_places():
        return name in MODELS[config.model.name].hyper
    return place in hypers or not (dot and head in CHOICES)


def _within(place: str, others: Collection[str]) -> str:
    """The place among others that holds this one; "" where none does."""
    return next((other for other in others if place.startswith(f"{other}.")), "")


def _drawn(
    config: RunConfig,
    place: str,
    wish: SearchRange | list[Any],
    hypers: Mapping[str, tuple[Hyper, Any]],
) -> tuple[BaseDistribution, dict[Any, Any]]:
    """What a place is drawn from, and what labels stand for, where it has choices."""
    if isinstance(wish, list):
        _value(config, place, wish[0] if wish else None)
        return _choices(config, place, wish)
    hyper = hypers[place][0] if place in hypers else None
    low = int(wish.low) if wish.low.is_integer() else wish.low
    counts = hyper.integer if hyper else isinstance(_value(config, place, low), int)
    return _range(place, wish, counts), {}


def _value(config: RunConfig, place: str, value: Any) -> Any:
    """A field as it is once this value is set. Raises InputError where it cannot be."""
    if value is None:
        raise InputError(f"[sweep.space] {place!r} needs choices; the list is empty: give some")
    try:
        return value_at(msgspec.to_builtins(with_values(config, {place: value})), place)
    except InputError as error:
        raise InputError(f"[sweep.space] {place!r} at {_shown(value)}: {error}") from error


def _choices(
    config: RunConfig, place: str, values: Sequence[Any]
) -> tuple[CategoricalDistribution, dict[Any, Any]]:
    """Choices by labels that people and databases read. Raises InputError for two with one."""
    labels = {_label(value): value for value in values}
    if len(labels) < len(values):
        raise InputError(f"[sweep.space] {place!r} must have choices that differ; got {values}")
    for value in values:
        _value(config, place, value)
        space = with_values(config, {place: value}).observation_space
        if space != config.observation_space:
            raise InputError(
                f"trials must share one observation space; {place} = {_shown(value)} has {space}, "
                f"the study {config.observation_space}: make it an axis"
            )
    return CategoricalDistribution(tuple(labels)), labels


def _range(place: str, limits: SearchRange, counts: bool) -> BaseDistribution:
    low, high = limits.low, limits.high
    ends = f"got {low} to {high} for {place!r}"
    if not (math.isfinite(low) and low < high < math.inf and (low > 0 or not limits.log)):
        raise InputError(f"a range to search needs low < high, above 0 if log; {ends}")
    if not counts:
        return FloatDistribution(low, high, log=limits.log)
    if not (low == int(low) and high == int(high)):
        raise InputError(f"a range of whole numbers needs whole ends; {ends}")
    return IntDistribution(int(low), int(high), log=limits.log)


def _label(value: Any) -> str | float | bool:
    """A choice as a trial shows it: itself, or its parts as words."""
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return ",".join(str(_label(part)) for part in value)
    return " ".join(f"{name}={_label(part)}" for name, part in value.items())


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def _check_ends(config: RunConfig, space: Space, places: Sequence[str]) -> None:
    """Raises InputError for an end of a range, or a choice, that is refused whatever the others
    are: beside the values of the study, beside all first ends and beside all last ones."""
    ends = {place: _ends(space, place) for place in places}
    firsts, lasts = ({place: values[i] for place, values in ends.items()} for i in (0, -1))
    for place, value in ((place, value) for place, values in ends.items() for value in values):
        reasons = (_refusal(config, beside | {place: value}) for beside in ({}, firsts, lasts))
        refused = list(itertools.takewhile(bool, reasons))
        if len(refused) == 3:
            what = "a choice" if place in space.choices else "both ends of a range"
            raise InputError(
                f"{what} must be allowed; [sweep.space] {place!r} at {_shown(value)} is not: "
                f"{refused[0]}"
            )


def _ends(space: Space, place: str) -> list[Any]:
    if place in space.choices:
        return list(space.choices[place].values())
    return [getattr(space.distributions[place], end) for end in ("low", "high")]


def _refusal(config: RunConfig, values: Mapping[str, Any]) -> str:
    """Why a run with these values is refused; "" where it is not."""
    try:
        resolve([with_values(config, values)])
    except InputError as error:
        return str(error)
    return ""
