"""Tables and progress on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vaebench.core.shown import plain

if TYPE_CHECKING:
    from vaebench.running.meter import Meter

RUNS_EVERY_S, STEPS_EVERY_S = 5.0, 30.0
"""Seconds between two lines of progress at least, where the output is no terminal."""


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Meter]:
    """Show progress on standard error: a bar on a terminal, else a line now and then."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(what, total) as meter:
        yield meter


@contextmanager
def _lines(what: str, total: int) -> Iterator[Meter]:
    from vaebench.running.meter import Meter

    start = last = time.monotonic()
    num_done, runs, is_shown = 0, "", True

    def say(words: str, every: float) -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < every:
            return False
        click.echo(f"{plain(words)}, {now - start:.0f} s", err=True)
        last = now
        return True

    def on_steps(steps: int) -> None:
        nonlocal num_done
        num_done += steps
        if total:
            say(f"{min(num_done / total, 1.0):.0%} of the steps", STEPS_EVERY_S)

    def on_runs(words: str) -> None:
        nonlocal runs, is_shown
        runs, is_shown = words, say(words, RUNS_EVERY_S)

    click.echo(plain(what), err=True)
    yield Meter(on_steps, on_runs)
    if not (runs and is_shown):
        say(runs or "done", 0.0)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Meter]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    from vaebench.running.meter import Meter

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        bar.console.print(Text(plain(what)))
        task = bar.add_task("", total=total or None)
        yield Meter(
            lambda steps: bar.advance(task, steps),
            lambda words: bar.update(task, description=plain(words)),
        )
        bar.update(task, total=total or 1, completed=total or 1)


def print_line(words: object, err: bool = False) -> None:
    """Print a line, with unprintable characters escaped."""
    click.echo(plain(words), err=err)


def print_lines(lines: Iterable[object]) -> None:
    """Print each as a line."""
    for line in lines:
        print_line(line)


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
