"""Lines and tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from vaebench.core.shown import plain


def print_line(words: object, err: bool = False) -> None:
    """Print a line, with unprintable characters escaped."""
    click.echo(plain(words), err=err)


def print_lines(lines: Iterable[object]) -> None:
    """Print each as a line."""
    for line in lines:
        print_line(line)


def cell(value: object) -> str:
    """A value in a table, a number to 6 digits; "" for a missing one."""
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def print_table(title: str, lines: Sequence[Mapping[Any, Any]]) -> None:
    """Print rows as a table whose columns are the keys of the first one."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def text(words: object) -> Text:
        return Text(plain(words))  # a Text has no tags: KL[q] is none

    table = Table(title=text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in lines[0] if lines else ():
        table.add_column(text(heading), overflow="fold", no_wrap=heading == "name")
    for line in lines:
        table.add_row(*map(text, line.values()))
    # A pipe or a file has no width to fit, and a folded number is hard to read.
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if has_width else 280).print(table)
