"""Axes of a study: each value is a patch, which is laid over the base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import fields

from vaebench.config.complete import hyper_places
from vaebench.config.convert import elsewhere
from vaebench.config.places import CHOICES, by_place, with_value
from vaebench.config.run_config import RunConfig
from vaebench.core.errors import InputError, near_match

FIELDS = tuple(field.encode_name for field in fields(RunConfig))
Patch = Mapping[str, Any]
"""Values by their dotted place in a run's configuration."""


def axis_patches(name: str, values: Any) -> list[Patch]:
    """The values of one axis, each with the places that it sets.

    An axis named by a field sets it; one of any other name holds tables of fields.
    """
    listed = values if isinstance(values, list) else [values]
    if not listed:
        raise InputError(f"a study must have a run; the axis {name!r} has no values: give some")
    if name.partition(".")[0] in FIELDS:
        return [by_place({name: value}) for value in listed]
    for value in listed:
        if not isinstance(value, dict):
            hint = elsewhere(name, hyper_places()) or near_match(name, FIELDS)
            raise InputError(
                f"the axis {name!r} is no field of a run, so it must hold tables, as in "
                f'{name} = [{{objective = "elbo"}}]; got {value!r}; {hint}'
            )
    return [by_place(value) for value in listed]


def always_set(axes: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """Each axis, with the places that all of its entries set."""
    for name, values in by_place(axes).items():
        yield name, set.intersection(*(set(leaves(p)) for p in axis_patches(name, values)))


def check_disjoint(axes: Sequence[Sequence[Patch]]) -> None:
    """Raises InputError for a field that two axes set."""
    seen: set[str] = set()
    for patches in axes:
        places = {place for patch in patches for place in leaves(patch)}
        if both := seen & places:
            raise InputError(f"each field must be set by one axis; {min(both)!r} is set by two")
        seen |= places


def laid_over(base: dict[str, Any], *patches: Patch) -> dict[str, Any]:
    """The base with the values of the patches, whole choices before the values within them."""
    values = [item for patch in patches for item in patch.items()]
    for place, value in sorted(values, key=lambda item: item[0].count(".")):
        base = with_value(base, place, value)
    return base


def leaves(patch: Patch) -> Iterator[str]:
    """The places that a patch sets, including those within a choice."""
    for place, value in patch.items():
        yield place
        if place in CHOICES and isinstance(value, dict):
            yield from (f"{place}.{name}" for name in value if name != "name")
