"""Progress on standard error: a block drawn anew on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from vaebench.core.shown import duration, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vaebench.running.meter import Meter, Progress
    from vaebench.running.standing import Standing

RUNS_EVERY_S, STEPS_EVERY_S = 5.0, 30.0
"""Seconds between two lines of progress at least, where the output is no terminal."""
SHARE_OF_TIME = 0.05
"""The share of the time so far that passes between two lines at least: a day has 200 of them."""
MOST_BEST = 5
"""Lines on the best so far, at most."""
BAR_WIDTH = 40


@dataclass
class Course:
    """How far some work has come, and what is known of the time that it takes."""

    total: int
    """Training steps in all; 0 where that is not known."""
    start: float
    num_done: int = 0
    standing: Standing | None = None

    @property
    def share(self) -> float | None:
        """The share that is done: of the steps, else of what is counted; None for neither."""
        if self.total:
            return min(self.num_done / self.total, 1.0)
        return None if self.standing is None else self.standing.share

    def times(self, now: float) -> str:
        """The time so far, and about how much is left, as the work has gone so far."""
        elapsed, share = now - self.start, self.share
        so_far = duration(round(elapsed))
        if not share or share >= 1.0:
            return so_far
        return f"{so_far}, about {duration(max(1, round(elapsed * (1 - share) / share)))} left"

    def lines(self) -> list[str]:
        """What stands in the block below the bar."""
        if self.standing is None:
            return []
        stands = self.standing
        lines = (stands.words, stands.compiling_words, *stands.best[:MOST_BEST])
        return [line for line in lines if line]

    def line(self, now: float) -> str:
        """The same in one line, with the first of the best."""
        share = f"{self.share:.0%} of the steps" if self.total else ""
        parts = [share]
        if self.standing is not None:
            stands = self.standing
            parts = [stands.words, stands.compiling_words, share, *stands.best[:1]]
        words = "; ".join(part for part in parts if part)
        return f"{words or 'done'}; {self.times(now)}"


def progress_for(quiet: bool) -> Progress:
    """How a command shows its progress; not at all where it is to be quiet."""
    return _nothing if quiet else progress_bar


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Meter]:
    """Show the progress of some work, of `total` training steps where that is not 0."""
    show = _block if sys.stderr.isatty() else _lines
    with show(what, Course(total, time.monotonic())) as meter:
        yield meter


@contextmanager
def _nothing(what: str, total: int) -> Iterator[Meter]:
    from vaebench.running.meter import UNSEEN  # here, as options are read before torch is imported

    yield UNSEEN


@contextmanager
def _lines(what: str, course: Course) -> Iterator[Meter]:
    from vaebench.running.meter import Meter

    last, is_shown = course.start, True

    def say(every: float) -> None:
        nonlocal last, is_shown
        now = time.monotonic()
        is_shown = now - last >= max(every, SHARE_OF_TIME * (now - course.start))
        if is_shown:
            _print(course.line(now))
            last = now

    def on_steps(steps: int) -> None:
        course.num_done += steps
        if course.share is not None:
            say(STEPS_EVERY_S)

    def on_standing(standing: Standing) -> None:
        course.standing = standing
        say(RUNS_EVERY_S)

    _print(what)
    yield Meter(on_steps, on_standing)
    if not is_shown or course.standing is None:
        _print(course.line(time.monotonic()))


@contextmanager
def _block(what: str, course: Course) -> Iterator[Meter]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from vaebench.running.meter import Meter

    console = Console(stderr=True)
    console.print(Text(plain(what)))
    with Live(get_renderable=lambda: _drawn(course), console=console, refresh_per_second=4):

        def on_steps(steps: int) -> None:
            course.num_done += steps

        def on_standing(standing: Standing) -> None:
            course.standing = standing

        yield Meter(on_steps, on_standing)


def _drawn(course: Course) -> RenderableType:
    """The block of a terminal: bar and times, then how many runs, what is compiled, the best."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    now, share = time.monotonic(), course.share
    bar = ProgressBar(1.0 if share is None else None, share or 0.0, BAR_WIDTH, share is None)
    head = Table.grid(padding=(0, 1))
    head.add_row(bar, Text("" if share is None else f"{share:.0%}"), Text(course.times(now)))
    lines = (Text(plain(line), overflow="ellipsis", no_wrap=True) for line in course.lines())
    return Group(head, *lines)


def _print(words: str) -> None:
    click.echo(plain(words), err=True)
