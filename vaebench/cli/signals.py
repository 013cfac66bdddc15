"""Signals that end a command, with one line on what is kept and how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import click

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND = "vaebench.command"
"""The key of a click context under which it has the whole command line."""


class Stopped(KeyboardInterrupt):
    """A signal has come. What it interrupts may add notes on what is kept."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def ending_by_signals(context: click.Context) -> Iterator[None]:
    """Within this context a signal ends the command, with one line and status 128 + its number.

    The first one counts; others are ignored from then to the end of the process, so that nothing
    that cleans up is interrupted, but for Ctrl-C, which then ends the process at once. A signal
    that is ignored already, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    handled = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    received: list[Stopped] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for each in handled:
            at_once = each == signal.SIGINT
            signal.signal(each, signal.SIG_DFL if at_once else signal.SIG_IGN)
        received.append(Stopped(number))
        raise received[0]

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    except (Stopped, OSError):  # the latter of a progress bar whose terminal is gone
        if not received:
            raise
        _say_what_is_kept(context.meta[COMMAND], received[0])
        context.exit(128 + received[0].signal)
    finally:
        if not received:
            for number in handled:
                signal.signal(number, before[number])


def _say_what_is_kept(command: str, stopped: Stopped) -> None:
    """Print one line on what is kept; errors are ignored, as a closed terminal is a signal too."""
    kept = "".join(f"; {note}" for note in getattr(stopped, "__notes__", ()))
    with contextlib.suppress(OSError):
        click.echo(
            f"vaebench: stopped by {stopped.signal.name}{kept}; to go on: {command}", err=True
        )
