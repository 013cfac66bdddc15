"""What the arguments of a public function must be: each check says what was given instead."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vaebench.core.errors import InputError

Kind = TypeVar("Kind")
LONGEST = 80
"""Characters that are shown of what was given."""


def shown(value: object) -> str:
    """A value as Python writes it, cut where that is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [...]"


def path(name: str, value: object) -> Path:
    """A path. Raises InputError for what is neither text nor a path, and for an empty text."""
    if not isinstance(value, str | os.PathLike) or value == "":
        raise InputError(f"{name} must be a path, as 'results/runs/mine'; got {shown(value)}")
    return Path(value)


def whole(name: str, value: Any, least: int | None = None) -> int:
    """A whole number. Raises InputError for anything else, True among it, and for fewer."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" of at least {least}"
        raise InputError(f"{name} must be a whole number{bound}; got {shown(value)}")
    return number


def instance(name: str, value: object, kind: type[Kind], write: str) -> Kind:
    """A value of a class. `write`: what makes one. Raises InputError for any other."""
    if not isinstance(value, kind):
        raise InputError(f"{name} must be a {kind.__name__}; got {shown(value)}: write {write}")
    return value


def items(name: str, value: object, kind: type[Kind] | tuple[type, ...], write: str) -> list[Kind]:
    """The items of a list, each of a class. `write`: an example of the list.

    Raises InputError for a text or a table, whose items are none of its own, and for what holds
    anything else.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list; got {shown(value)}: write {write}")
    listed: list[Any] = list(value)
    for item in listed:
        if not isinstance(item, kind):
            raise InputError(f"{name} must be a list such as {write}; it holds {shown(item)}")
    return listed
