"""Tables and progress on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vaebench.shown import plain

if TYPE_CHECKING:
    from vaebench.stack import OnSteps


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[OnSteps]:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(plain(what), total=total or None)
        yield lambda steps: bar.advance(task, steps)
        bar.update(task, total=total or 1, completed=total or 1)


def print_line(words: object, err: bool = False) -> None:
    """Print a line, whatever names are in it."""
    click.echo(plain(words), err=err)


def print_lines(lines: Iterable[object]) -> None:
    """Print lines."""
    for line in lines:
        print_line(line)


def print_table(title: str, lines: Sequence[Mapping[Any, Any]]) -> None:
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
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if known else 280).print(table)
