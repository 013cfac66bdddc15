"""Dotted places in the tables of a study: "train.learning_rate", "objective.beta"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vaebench.core.errors import InputError

SECTIONS = ("data", "model", "train", "evaluate")
"""Tables of a run that are laid over one another key by key."""
CHOICES = ("objective", "likelihood", "posterior", "prior", "rate_weight")
"""Fields whose value names an entry of a registry; rate_weight may be a plain number."""

Opens = Callable[[str, dict[str, Any]], bool]
"""(place, the table there) -> whether it holds further places, or is itself a value."""


def by_place(table: Mapping[str, Any], opens: Opens | None = None) -> dict[str, Any]:
    """The values of nested tables by their dotted places.

    In TOML an unquoted train.learning_rate is a table in a table, a quoted one is one key; here
    they are the same. Raises InputError for a place that is there twice.
    """
    values: dict[str, Any] = {}
    for place, value in _walk(table, opens or _part_of_a_run, ""):
        if place in values:
            raise InputError(f"each field must be set once; {place!r} is there twice")
        values[place] = value
    return values


def with_value(
    table: Mapping[str, Any], place: str, value: Any, *, in_choice: bool = False
) -> dict[str, Any]:
    """The table with a value set at a place; an entry written short, "beta_elbo", becomes a table.

    Raises InputError where the place lies within something that is no table.
    """
    name, _, rest = place.partition(".")
    if not rest:
        return {**table, name: value}
    in_choice = in_choice or name in CHOICES
    below = table.get(name, {})
    if in_choice and isinstance(below, str):
        below = {"name": below}
    if not isinstance(below, dict):
        raise InputError(f"{name!r} must be a table, for {place!r} to be set; got {below!r}")
    if isinstance(hyper := below.get("hyper"), dict) and rest not in below:
        return {**table, name: {**below, "hyper": with_value(hyper, rest, value, in_choice=True)}}
    return {**table, name: with_value(below, rest, value, in_choice=in_choice)}


def value_at(table: Any, place: str) -> Any:
    """The value at a place; an empty table where there is none."""
    for name in place.split("."):
        inner = table if isinstance(table, dict) else {}
        hyper = inner.get("hyper")
        table = {**inner, **(hyper if isinstance(hyper, dict) else {})}.get(name, {})
    return table


def _walk(table: Mapping[str, Any], opens: Opens, above: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        place = f"{above}{name}"
        if isinstance(value, dict) and opens(place, value):
            yield from _walk(value, opens, f"{place}.")
        else:
            yield place, value


def _part_of_a_run(place: str, table: dict[str, Any]) -> bool:
    """Whether a table is a section, or hyperparameters without the name of an entry."""
    return place in SECTIONS or (place.partition(".")[0] in CHOICES and "name" not in table)
