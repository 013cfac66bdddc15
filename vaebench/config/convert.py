"""Tables to configurations, strictly, with errors that name the key."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from vaebench.errors import InputError, near_match


def convert(table: Any, kind: Any) -> Any:
    """msgspec.convert, strictly; its errors as InputError, with a hint for a misspelt key."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        message = str(error).replace("`", "'").replace("$.", "")
        unknown = re.search(r"unknown field '(\w+)'(?: - at '(\w+)')?", message)
        if unknown:
            hint = near_match(unknown[1], _fields_at(kind, unknown[2]))
        else:
            hint = f"got {_given(table, message)!r}" if " - at " in message else "add it"
        raise InputError(f"{message}; {hint}") from error


def _given(table: Any, message: str) -> Any:
    """The value that a message of msgspec ends in pointing at: ... - at 'model.widths[0]'."""
    _, _, place = message.rpartition(" - at ")
    for step in re.findall(r"\w+", place):
        table = table[int(step)] if step.isdigit() else table.get(step, table)
    return table


def _fields_at(kind: Any, section: str | None) -> list[str]:
    """The keys of a Struct, or of the Struct that is one of its fields."""
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        return []
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(kind)}
    return list(fields) if section is None else _fields_at(fields.get(section), None)


def long_form(key: str, value: Any) -> Any:
    """A choice that is written short, "elbo" or {name = ..., beta = 4.0}, as its fields."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" in value and "hyper" not in value:
        hyper = {k: long_form(k, v) for k, v in value.items() if k != "name"}
        return {"name": value["name"], "hyper": hyper}
    if isinstance(value, dict) and "name" not in value:
        raise InputError(f"{key} needs a name, as in {key} = {{name = ...}}; got {value!r}")
    return value
