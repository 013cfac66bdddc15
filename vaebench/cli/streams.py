"""Standard output that cannot be written to, warnings, and errors of the system in words."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from vaebench.core.errors import InputWarning


@contextmanager
def flushed() -> Iterator[None]:
    """Flush standard output at the end of this context, and report it where that fails."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        _close_stdout()
        if error.errno == errno.EPIPE:  # the reader has closed the pipe, as `| head` does
            sys.exit(1)
        click.echo(f"vaebench: standard output: {error.strerror}", err=True)
        sys.exit(2)


@contextmanager
def cautions(say: Callable[[str], None]) -> Iterator[None]:
    """Within this context each InputWarning is shown once; other warnings are shown as usual."""
    with warnings.catch_warnings():
        usual, said = warnings.showwarning, set()

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: None
        ) -> None:
            if not issubclass(category, InputWarning):
                usual(message, category, filename, lineno, *rest)
            elif str(message) not in said:
                said.add(str(message))
                say(str(message))

        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def refusal(error: OSError) -> str:
    """What the system refused, in words; "" for a closed pipe, which is no fault."""
    if error.errno is None or error.errno == errno.EPIPE:
        return ""
    place = error.filename or "a file, or the standard output"
    return f"{place}: {error.strerror}: mend that, and give the command again"


def _close_stdout() -> None:
    """Discard standard output from here on: the interpreter would else flush it again, and fail."""
    with suppress(OSError, ValueError):  # where a test has put something else in its place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
