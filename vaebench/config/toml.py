"""Reads TOML from files and from the command line; what is wrong with it is one InputError."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vaebench.core.errors import InputError

MAX_DEPTH = 16
"""Levels of tables and lists at most, as other functions go through them by recursion."""
MAX_INTEGER = 2**63 - 1
"""TOML's whole numbers have 64 bits."""
TOO_DEEP = f"tables and lists must be at most {MAX_DEPTH} levels deep; got more: flatten them"
TOO_LARGE = f"whole numbers must be at most {MAX_INTEGER}; got a larger one: choose a smaller"


def read_table(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises InputError for anything else."""
    if not os.path.isfile(path):  # no pipe or device, which need never end
        what = "a folder, pipe or device" if os.path.exists(path) else "not there: correct the name"
        raise InputError(f"{path} must be a TOML file; it is {what}")
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be in UTF-8, as TOML is ({error}): save it so") from error
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} must be a TOML file: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: {TOO_DEEP}") from error
    except ValueError as error:  # Python reads no number of so many digits
        raise InputError(f"{path}: {TOO_LARGE}") from error
    try:
        check_plain(table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return table


def toml_value(text: str) -> Any:
    """A value of the command line as TOML: a number, a list or a table; else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def check_plain(table: dict[str, Any]) -> None:
    """Raises InputError for tables that are too deep and whole numbers that are too large."""
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if any(isinstance(v, int) and not -MAX_INTEGER <= v <= MAX_INTEGER for v in level):
            raise InputError(TOO_LARGE)
    if level:
        raise InputError(TOO_DEEP)


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
