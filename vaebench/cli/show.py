"""Tables and progress on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaebench.stack import OnSteps


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[OnSteps]:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total or None)
        yield lambda steps: bar.advance(task, steps)
        bar.update(task, total=total or 1, completed=total or 1)


def print_table(title: str, lines: Sequence[Mapping[Any, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in lines[0] if lines else ():
        table.add_column(str(heading), overflow="fold", no_wrap=heading == "name")
    for line in lines:
        table.add_row(*(escape(str(value)) for value in line.values()))  # KL[q] is no tag
    # A pipe or a file has no width to fit, and a folded number is hard to read.
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if known else 280).print(table)
