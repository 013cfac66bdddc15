"""The hyperparameters that an objective is checked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, product
from types import MappingProxyType

from torch import Tensor

from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, Objective, SameAs

Values = Mapping[str, float]
NOTHING: Values = MappingProxyType({})
FAR = 100.0
"""The multiple of the end of the search that is tried where valid values have no end."""


def hyper_at(objective: Objective, changes: Values = NOTHING) -> dict[str, float]:
    """The defaults with changes, counts as whole numbers.

    The middle of the range to search stands in for a default that there is not.
    """
    values = {name: _usual(hyper) for name, hyper in objective.hyper.items()} | dict(changes)
    return values | {name: int(values[name]) for name in objective.counts}


def scalars_at(objective: Objective, terms: Terms, changes: Values = NOTHING) -> dict[str, Scalar]:
    """`hyper_at` with the state from which runs start, [S, 1] each."""
    state = {
        name: terms.z.new_full((terms.shape[0], 1), value)
        for name, value in objective.initial_state.items()
    }
    return {**hyper_at(objective, changes), **state}


def loss_at(objective: Objective, terms: Terms, changes: Values = NOTHING) -> Tensor:
    """The loss [S, B] at the defaults with changes."""
    return objective.loss(terms, **scalars_at(objective, terms, changes))


def bounding(objective: Objective) -> Iterator[Values]:
    """Changes from the defaults at which the bound is declared to hold: none, the ends and the
    inside of the intervals, far beyond an end that is open, and their corners two by two.

    The interval of a hyperparameter without a declared one is all that is valid or searched.
    """
    intervals = {n: _interval(objective, n) for n in objective.hyper if n not in objective.counts}
    inner = [{name: v} for name, limits in intervals.items() for v in _between(*limits)]
    inner += [{name: v} for name in intervals for v in _beyond(objective, name)]
    corners = [
        dict(zip(names, values, strict=True))
        for names in combinations(intervals, 2)
        for values in product(*(intervals[name] for name in names))
    ]
    candidates: list[Values] = [NOTHING, *inner, *corners]
    return (c for c in candidates if objective.is_bound_at(hyper_at(objective, c)))


def _beyond(objective: Objective, name: str) -> Iterator[float]:
    """For each end of the interval that is open, a value far outside the range of search."""
    low, high = _declared(objective, name)
    first, last = _interval(objective, name)
    far = FAR * max(1.0, abs(first), abs(last))
    for limit, value in ((low, -far), (high, far)):
        if math.isinf(limit):
            yield value


def _declared(objective: Objective, name: str) -> tuple[float, float]:
    hyper = objective.hyper[name]
    return objective.bound_for.get(name, (hyper.low, hyper.high))


def _interval(objective: Objective, name: str) -> tuple[float, float]:
    """Finite ends of where a hyperparameter's bound is to hold."""
    hyper, usual = objective.hyper[name], hyper_at(objective)[name]
    low, high = _declared(objective, name)
    searched = hyper.search or (usual, usual)
    return (
        low if math.isfinite(low) else min(searched[0], usual),
        high if math.isfinite(high) else max(searched[1], usual),
    )


def _between(low: float, high: float) -> list[float]:
    """The ends, and three values inside."""
    return [low + share * (high - low) for share in (0.0, 0.1, 0.35, 0.7, 1.0)]


def elsewhere(objective: Objective) -> Iterator[Values]:
    """The hyperparameters moved from their defaults, all together, where there are any."""
    scalars = [name for name in objective.hyper if name not in objective.counts]
    values = {n: next(moved(objective.hyper[n], hyper_at(objective)[n]), None) for n in scalars}
    changed = {name: value for name, value in values.items() if value is not None}
    if changed:
        yield changed


def moved(hyper: Hyper, value: float) -> Iterator[float]:
    """Valid values other than this one, the likeliest to be accepted first."""
    steps = (
        (value + 1, value - 1, 2 * value)
        if hyper.integer
        else (1.5 * value + 0.1, 0.5 * value - 0.1)
    )
    inside = (min(max(step, hyper.low), hyper.high) for step in steps)
    return (step for step in inside if step != value)


def links(objective: Objective) -> Iterator[Values]:
    """Changes at which the objective is the ELBO, by a chain of its declared identities."""
    if objective.name == "elbo":
        yield NOTHING
    for same in objective.same_as:
        if same.num_samples is None and _leads_to_elbo(same.other, same.other_at, objective.name):
            yield same.at


def _leads_to_elbo(name: str, at: Values, *seen: str) -> bool:
    if name == "elbo":
        return True
    following = () if name in seen else OBJECTIVES[name].same_as
    return any(
        _leads_to_elbo(same.other, same.other_at, *seen, name)
        for same in following
        if same.num_samples is None and dict(same.at) == dict(at)
    )


def shown(values: Values) -> str:
    """at name=value, ...; nothing for no values."""
    inside = ", ".join(f"{name}={value:g}" for name, value in values.items())
    return f" at {inside}" if inside else ""


def described(identity: SameAs) -> str:
    """A declared identity in words."""
    conditions = dict(identity.at)
    if identity.num_samples is not None:
        conditions["K"] = identity.num_samples
    return f"same as {identity.other}{shown(identity.other_at)}{shown(conditions)}"


def _usual(hyper: Hyper) -> float:
    low, high = hyper.search or (0.5, 2.0)
    return 0.5 * (low + high) if hyper.default is None else hyper.default
