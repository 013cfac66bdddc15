"""Converts tables to configurations, strictly, with errors that name the key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from vaebench.core.errors import InputError, near_match


class Spot(Struct, frozen=True):
    """A place in a table: its dotted name, the value there, and the types that it may have."""

    name: str
    value: Any
    kinds: tuple[Any, ...]

    @property
    def fields(self) -> list[str]:
        """The keys that a table may have here."""
        return [name for kind in self.kinds if _is_struct(kind) for name in get_type_hints(kind)]

    @property
    def options(self) -> list[str]:
        """The words that are allowed here, where only some are."""
        literals = (kind for kind in self.kinds if get_origin(kind) is Literal)
        return [str(word) for kind in literals for word in get_args(kind)]


def convert(table: Any, kind: Any, *, several: str = "", places: Iterable[str] = ()) -> Any:
    """Convert a table by msgspec; raises InputError with a hint for a misspelt key.

    `several`: the hint for a list where one value is due, with {place} and {values}.
    `places`: dotted places beside those of the kind, for a key that stands on a wrong level.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InputError):  # raised by the check of a Struct
            raise error.__cause__ from None
        what, steps = _read(str(error))
        spot = _spot(Spot("", table, _kinds(kind)), steps)
        at = f" - at '{spot.name}'" if spot.name else ""
        raise InputError(
            f"{what}{at}; {_hint(what, spot, [*_places(kind), *places], several)}"
        ) from error


def long_form(key: str, value: Any) -> Any:
    """A choice that is written short, "elbo" or {name = ..., beta = 4.0}, as its two fields."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" in value and "hyper" not in value:
        hyper = {k: long_form(k, v) for k, v in value.items() if k != "name"}
        return {"name": value["name"], "hyper": hyper}
    if isinstance(value, dict) and "name" not in value:
        raise InputError(f"{key} needs a name, as in {key} = {{name = ...}}; got {value!r}")
    return value


def _read(message: str) -> tuple[str, list[str]]:
    """Split msgspec's message into the fault, in words of TOML, and the keys that lead there."""
    pointed = re.fullmatch(r"(.*) - at `\$([\w.\[\]]*)`", message, re.DOTALL)
    what, path = pointed.groups() if pointed else (message, "")
    what = what.replace("`", "'").replace("Invalid enum value", "Invalid value")
    if what.startswith("Expected"):
        what = re.sub(r"\bobject\b", "table", re.sub(r"\barray\b", "list", what))
    return what, re.findall(r"\w+|\[\.\.\.\]", path)


def _spot(spot: Spot, steps: list[str]) -> Spot:
    """The spot that the keys lead to; [...] stands for the first key whose value is wrong."""
    for step in steps:
        inner = tuple(kind for outer in spot.kinds for kind in _kinds_below(outer, step))
        if step.isdigit():
            spot = Spot(f"{spot.name}[{step}]", spot.value[int(step)], inner)
            continue
        key = _wrong_key(spot.value, inner) if step == "[...]" else step
        # Hyperparameters are written beside the name of their entry, not under a key of their own.
        name = spot.name if step == "hyper" else f"{spot.name}.{_quoted(key)}".removeprefix(".")
        spot = Spot(name, spot.value.get(key, spot.value), inner)
    return spot


def _kinds(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a type, without their annotations."""
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return tuple(inner for alternative in get_args(kind) for inner in _kinds(alternative))
    return (kind,)


def _kinds_below(kind: Any, step: str) -> tuple[Any, ...]:
    """The types of a field of a Struct, of a value of a dict or of an item of a tuple."""
    if _is_struct(kind):
        return _kinds(get_type_hints(kind, include_extras=True).get(step, Any))
    if get_origin(kind) is dict and step == "[...]":
        return _kinds(get_args(kind)[1])
    return _kinds(get_args(kind)[0]) if get_origin(kind) in (tuple, list) else ()


def _wrong_key(table: dict[str, Any], kinds: tuple[Any, ...]) -> str:
    """The first key of a dict whose value is none of these types."""
    for key, value in table.items():
        try:
            msgspec.convert(value, Union[kinds])  # noqa: UP007 (the members are known only here)
        except msgspec.ValidationError:
            return key
    return "..."


def _hint(what: str, spot: Spot, places: list[str], several: str) -> str:
    """What to do about a fault, from the value at its spot and the values that are allowed."""
    if what.startswith("Object contains unknown field"):
        unknown = next(key for key in spot.value if key not in spot.fields)
        known = f"known: {', '.join(sorted(spot.fields))}"
        if f"{spot.name}.{unknown}" in places:
            return f"only another {spot.name}.name has it; {known}"
        meant = elsewhere(unknown, places)
        return f"{meant} {known}" if meant else near_match(unknown, spot.fields)
    if what.startswith("Object missing"):
        return "add it"
    if spot.options:
        return near_match(str(spot.value), spot.options)
    if isinstance(spot.value, list | tuple) and several:
        return several.format(place=spot.name, values=list(spot.value))
    return f"got {spot.value!r}{_form(spot)}"


def _form(spot: Spot) -> str:
    """How to write the table or list that is due at a spot; "" where it is neither."""
    if {get_origin(kind) for kind in spot.kinds} & {tuple, list} and _is_number(spot.value):
        return f": write [{spot.value!r}]"
    if isinstance(spot.value, dict) or not spot.fields or float in spot.kinds:
        return ""
    if "name" in spot.fields:
        return f": write {{name = {_quote(spot.value) if isinstance(spot.value, str) else '...'}}}"
    return f": write {{{', '.join(f'{name} = ...' for name in spot.fields[:2])}}}"


def elsewhere(name: str, places: Iterable[str]) -> str:
    """A sentence that points from a key on a wrong level to its places; "" where it has none."""
    meant = dict.fromkeys(place for place in places if place.rpartition(".")[2] == name)
    return f"did you mean {' or '.join(map(repr, meant))}?" if meant else ""


def _places(root: Any) -> Iterator[str]:
    """The dotted places of the fields of a Struct, and of the Structs in it."""
    for name, hint in get_type_hints(root).items() if _is_struct(root) else ():
        yield name
        inner = [kind for kind in _kinds(hint) if _is_struct(kind)]
        yield from (f"{name}.{field}" for kind in inner for field in get_type_hints(kind))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _quoted(key: str) -> str:
    """A key as TOML has it: quoted where it is more than a word."""
    return key if re.fullmatch(r"[\w-]+", key) else _quote(key)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
