"""Converts tables to configurations, strictly, with errors that name the key."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from vaebench.config.toml import toml_value
from vaebench.core.errors import InputError, near_match

EXPECTED = re.compile(r"Expected '([\w |]+)'(?: ([<>]=?) (\S+))?(?:, got '\w+')?")
"""What msgspec says of a value of another kind, or beyond a bound."""
KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "object": "a table",
}
"""What people call the kinds of values that msgspec names; null, which TOML lacks, is left out."""
BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}
LARGEST_EXACT = 2.0**53
"""Up to here a float is the whole number that was written."""


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
        hint = _hint(what, spot, [*_places(kind), *places], several)
        if due := must_be(what):
            raise InputError(f"{spot.name or 'it'} {due}; {hint}") from error
        at = f" - at '{spot.name}'" if spot.name else ""
        raise InputError(f"{what}{at}; {hint}") from error


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


def must_be(what: str) -> str:
    """What must hold, where msgspec says "Expected 'int | null' >= 1, got 'str'": "must be a whole
    number of at least 1". "" for a fault of another form."""
    expected = EXPECTED.fullmatch(what)
    if not expected:
        return ""
    union, sign, bound = expected.groups()
    kinds = union.split(" | ")
    if "float" in kinds:  # which whole numbers are too
        kinds = [kind for kind in kinds if kind != "int"]
    words = " or ".join(KINDS[kind] for kind in kinds if kind in KINDS)
    if bound == str(sys.float_info.max):  # which infinity alone is beyond
        return f"must be a finite {words.removeprefix('a ')}"
    limit = f" {BOUNDS[sign]} {bound.removesuffix('.0')}" if sign else ""
    return f"must be {words}{limit}"


def _read(message: str) -> tuple[str, list[str]]:
    """Split msgspec's message into the fault and the keys that lead there."""
    pointed = re.fullmatch(r"(.*) - at `\$([\w.\[\]]*)`", message, re.DOTALL)
    what, path = pointed.groups() if pointed else (message, "")
    what = what.replace("`", "'").replace("Invalid enum value", "Invalid value")
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
        known = near_match(str(spot.value), spot.options)
        return known if what.startswith("Invalid") else f"got {spot.value!r}; {known}"
    if isinstance(spot.value, list | tuple) and several:
        return several.format(place=spot.name, values=list(spot.value))
    return f"got {spot.value!r}{_form(spot)}"


def _form(spot: Spot) -> str:
    """How to write the value that is due at a spot; "" where that is not known."""
    meant = _meant(spot)
    if meant is not None:
        return f": write {str(meant).lower()}"
    if {get_origin(kind) for kind in spot.kinds} & {tuple, list} and _is_number(spot.value):
        return f": write [{spot.value!r}]"
    if isinstance(spot.value, dict) or not spot.fields or float in spot.kinds:
        return ""
    if "name" in spot.fields:
        return f": write {{name = {_quote(spot.value) if isinstance(spot.value, str) else '...'}}}"
    return f": write {{{', '.join(f'{name} = ...' for name in spot.fields[:2])}}}"


def _meant(spot: Spot) -> Any:
    """The value of the kind that is due, where another says it: 1000 for 1000.0 or "1e3", and
    True for "true"; else None."""
    value = toml_value(spot.value) if isinstance(spot.value, str) else spot.value
    if isinstance(value, float) and float not in spot.kinds and value.is_integer():
        value = int(value) if abs(value) < LARGEST_EXACT else value
    is_due = type(value) in spot.kinds or (type(value) is int and float in spot.kinds)
    return value if is_due and type(value) is not type(spot.value) else None


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
