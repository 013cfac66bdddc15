"""JSON on standard output, in one style for all commands: docs/command-line.md says which."""

from __future__ import annotations

import re
from typing import Any

import click

SCHEMA = 1
"""Raised when a key changes its meaning or goes; keys may be added."""


def print_json(**parts: Any) -> None:
    """Print one object: "schema", then tables, which are lists of objects, lists of texts, and
    single values. A missing value is null, and so is a number that is not finite."""
    import msgspec

    content = msgspec.json.encode({"schema": SCHEMA, **parts}, enc_hook=_builtin)
    click.echo(msgspec.json.format(content, indent=1))


def key(heading: str) -> str:
    """The heading of a column as a key: "closed-form KL to" is closed_form_kl_to."""
    return re.sub(r"\W+", "_", heading.lower()).strip("_")


def _builtin(value: Any) -> Any:
    """What msgspec does not know: tables of pandas with its sign for a missing value, numbers of
    NumPy, and paths, whose bytes that are no text are escaped, as \\udcff."""
    if hasattr(value, "to_dict"):
        return value.to_dict("records")
    if hasattr(value, "item"):
        return value.item()
    if type(value).__name__ == "NAType":
        return None
    return str(value).encode(errors="backslashreplace").decode()
