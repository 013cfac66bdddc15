"""The ranges that a sweep searches: those that entries declare, and those of the study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from vaebench.config import Choice, RunConfig, parse, value_at, with_value
from vaebench.config.schedules import SCHEDULES
from vaebench.config.study import SearchRange, Study, resolve
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES

Params = dict[str, Any]
"""The values of one trial, by the dotted places of a run."""
NOT_SEARCHED = {
    "data": "trials are compared on the same data",
    "evaluate": "trials are compared by the same evaluation",
    "seed": "every trial has the seeds of the axes",
}
"""Parts of a run that no range may change, with the reason."""


def search_space(config: RunConfig, study: Study) -> dict[str, BaseDistribution]:
    """The ranges that entries declare, and those of the study, by dotted place.

    A hyperparameter that follows a schedule is not searched, and a field of whole numbers is drawn
    as whole numbers. Raises InputError for a range that no trial could be drawn from.
    """
    declared = {place: (hyper, value) for place, hyper, value in _declared(config)}
    space = {
        place: _distribution(hyper.search, hyper.log, hyper.integer)
        for place, (hyper, value) in declared.items()
        if hyper.search is not None and not isinstance(value, Choice)
    }
    for place, limits in study.sweep.space.items():
        hyper = declared[place][0] if place in declared else None
        counts = hyper.integer if hyper else _is_whole(config, place, limits)
        space[place] = _distribution((limits.low, limits.high), limits.log, counts)
    if not space:
        raise InputError(f"{config.variant} has nothing to tune: give ranges in [sweep.space]")
    _check_ends(config, space, list(study.sweep.space))
    return space


def with_params(config: RunConfig, params: Params) -> RunConfig:
    """The configuration with the values of a trial. Raises InputError where they are refused."""
    table = msgspec.to_builtins(config)
    for place, value in params.items():
        table = with_value(table, place, value)
    return parse(table)


def _declared(config: RunConfig) -> Iterator[tuple[str, Hyper, float | Choice]]:
    """Every hyperparameter of a run by its place, and its value; those of schedules come last."""
    scheduled = {"rate_weight": config.rate_weight}
    parts = {
        "objective": (OBJECTIVES[config.objective.name].hyper, config.objective),
        "likelihood": (LIKELIHOODS[config.likelihood.name].hyper, config.likelihood),
        "posterior": (POSTERIORS[config.posterior.name].hyper, config.posterior),
        "prior": (PRIORS[config.prior.name].hyper, config.prior),
    }
    for kind, (hypers, choice) in parts.items():
        for name, hyper in hypers.items():
            scheduled[f"{kind}.{name}"] = choice.hyper[name]
            yield f"{kind}.{name}", hyper, choice.hyper[name]
    for place, value in scheduled.items():
        if isinstance(value, Choice):
            for name, hyper in SCHEDULES[value.name].hyper.items():
                yield f"{place}.{name}", hyper, value.hyper[name]


def _is_whole(config: RunConfig, place: str, limits: SearchRange) -> bool:
    """Whether a field takes whole numbers. Raises InputError where it can take no range."""
    part = place.partition(".")[0]
    if part in NOT_SEARCHED:
        raise InputError(f"{place!r} cannot be searched: {NOT_SEARCHED[part]}")
    low = int(limits.low) if limits.low.is_integer() else limits.low
    try:
        table = msgspec.to_builtins(with_params(config, {place: low}))
    except InputError as error:
        raise InputError(f"[sweep.space] {place!r} at {low:g}: {error}") from error
    return isinstance(value_at(table, place), int)


def _distribution(limits: tuple[float, float], log: bool, counts: bool) -> BaseDistribution:
    low, high = limits
    if not (math.isfinite(low) and low < high < math.inf and (low > 0 or not log)):
        raise InputError(f"a range to search needs low < high, above 0 if log; got {low} to {high}")
    if not counts:
        return FloatDistribution(low, high, log=log)
    if not (low == int(low) and high == int(high)):
        raise InputError(f"a range of whole numbers needs whole ends; got {low} to {high}")
    return IntDistribution(int(low), int(high), log=log)


def _check_ends(
    config: RunConfig, space: Mapping[str, BaseDistribution], places: Sequence[str]
) -> None:
    """Raises InputError for an end of a range that is refused whatever the others are.

    That is, beside the values of the study, beside all low ends and beside all high ones.
    """
    lows, highs = ({p: getattr(space[p], end) for p in space} for end in ("low", "high"))
    for place in places:
        for end in (lows[place], highs[place]):
            reasons = [_refusal(config, others | {place: end}) for others in ({}, lows, highs)]
            if all(reasons):
                raise InputError(
                    f"both ends of a range must be allowed; [sweep.space] {place!r} at {end:g} is "
                    f"not: {reasons[0]}"
                )


def _refusal(config: RunConfig, params: Params) -> str:
    """Why a run with these values is refused; "" where it is not."""
    try:
        resolve([with_params(config, params)])
    except InputError as error:
        return str(error)
    return ""
