"""The command that writes the start of a study, or of a file of the user's own."""

from __future__ import annotations

from importlib.resources import files
from keyword import iskeyword
from pathlib import Path

import click

from vaebench.cli.completion import words
from vaebench.cli.group import main
from vaebench.cli.names import entry_names
from vaebench.cli.options import PATH
from vaebench.cli.show import print_line
from vaebench.core.errors import InputError, near_match

STARTS = {
    Path(path.name).stem: path
    for path in files("vaebench.cli").joinpath("starts").iterdir()
    if path.is_file()
}
"""A file for each kind. In it, what it defines is called my_KIND, and the file FILE."""
NEXT = {
    "study": "vaebench run {file} --dry-run",
    "grading": "vaebench evaluate RESULTS --grading {name} --plugin {file}",
}
"""The command that comes next, by kind; for the others it is `certify`."""
CERTIFY = "vaebench certify {name} --plugin {file}"


@main.command()
@click.argument("kind", shell_complete=words(*STARTS))
@click.argument("name", type=PATH)
def new(kind: str, name: Path) -> None:
    """Write a commented start of a file of your own.

    It says which command comes next. KIND is study, objective, model, likelihood, prior or grading.
    NAME is the name of what the file defines, or the path of the file: `vaebench new objective
    mine` writes mine.py. Nothing is overwritten.
    """
    if kind not in STARTS:
        raise InputError(f"unknown kind {kind!r}; {near_match(kind, STARTS)}")
    start = STARTS[kind]
    suffix = Path(start.name).suffix
    file = name if name.suffix or not name.name else name.with_name(f"{name.name}{suffix}")
    if not file.stem.isidentifier() or iskeyword(file.stem) or file.suffix != suffix:
        raise InputError(
            f"NAME must be letters, digits and _, with or without {suffix}, and no word of Python: "
            f"it names the {kind}; got {name.name!r}: choose another"
        )
    if kind != "study" and file.stem in entry_names(f"{kind}s"):
        raise InputError(f"{kind} {file.stem!r} comes with vaebench: choose another name")
    text = start.read_text().replace(f"my_{kind}", file.stem).replace("FILE", str(file))
    try:
        with file.open("x") as page:
            page.write(text)
    except FileExistsError as error:
        raise InputError(f"{file} is there already: choose another name, or remove it") from error
    following = NEXT.get(kind, CERTIFY).format(name=file.stem, file=file)
    print_line(f"wrote {file}; next: {following}")
