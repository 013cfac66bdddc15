"""Signals that end a command: one line says what is kept and how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import click

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND = "vaebench.command"
"""Where a click context has the whole command, as it was given."""


class Stopped(KeyboardInterrupt):
    """A signal came. What it stops may add notes of what is kept."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def ending_by_signals(context: click.Context) -> Iterator[None]:
    """What is within ends at a signal, as at an exception, with one line and 128 + its number.

    The first counts; others are ignored from then to the end of the process, so that nothing that
    cleans up is interrupted. A signal that is ignored already, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # where Python lets nobody heed signals
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    heeded = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    came: list[Stopped] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        came.append(Stopped(number))
        raise came[0]

    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    except (Stopped, OSError):  # the latter of a progress bar whose terminal is gone
        if not came:
            raise
        _say_what_is_kept(context.meta[COMMAND], came[0])
        context.exit(128 + came[0].signal)
    finally:
        if not came:
            for number in heeded:
                signal.signal(number, before[number])


def _say_what_is_kept(command: str, stopped: Stopped) -> None:
    """One line, which nobody may be there to read: a terminal that is closed sends a signal."""
    kept = "".join(f"; {note}" for note in getattr(stopped, "__notes__", ()))
    with contextlib.suppress(OSError):
        click.echo(
            f"vaebench: stopped by {stopped.signal.name}{kept}; to go on: {command}", err=True
        )
