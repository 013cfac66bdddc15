"""The command that writes the start of a file of the user's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from vaebench.cli.group import main
from vaebench.cli.options import PATH
from vaebench.cli.show import print_line
from vaebench.core.errors import InputError, near_match

STARTS = files("vaebench.cli").joinpath("starts")
"""A file for each kind of entry. In it, the entry is called my_KIND and the file FILE."""


@main.command()
@click.argument("kind")
@click.argument("file", type=PATH)
def new(kind: str, file: Path) -> None:
    """Write a commented start of an entry of your own, of one KIND, to FILE.

    The entry has the name of the file.
    """
    start, name = _start(kind), file.stem
    if not name.isidentifier() or file.suffix != ".py":
        raise InputError(
            f"FILE names the entry, so it must be NAME.py with letters, digits and _; "
            f"got {file.name!r}: choose another"
        )
    text = start.replace(f"my_{kind}", name).replace("FILE", str(file))
    try:
        with file.open("x") as page:
            page.write(text)
    except FileExistsError as error:
        raise InputError(f"{file} is there already: choose another name, or remove it") from error
    print_line(f"wrote {file}; check it by: vaebench certify {name} --plugin {file}")


def _start(kind: str) -> str:
    """The start of a kind of entry. Raises InputError where there is none."""
    paths = (path for path in STARTS.iterdir() if path.name.endswith(".py"))
    starts = {path.name.removesuffix(".py"): path for path in paths}
    if kind not in starts:
        raise InputError(f"unknown kind {kind!r}; {near_match(kind, starts)}")
    return starts[kind].read_text()
