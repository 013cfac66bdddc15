"""What is printed where it cannot be, and what is said beside it."""

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
    """What is still to be printed is printed at the end, where it can be said that it cannot be."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        _close_stdout()
        if error.errno == errno.EPIPE:  # who reads has enough, as of `| head`
            sys.exit(1)
        click.echo(f"vaebench: standard output: {error.strerror}", err=True)
        sys.exit(2)


@contextmanager
def cautions(say: Callable[[str], None]) -> Iterator[None]:
    """Each InputWarning is said once; other warnings go the way they go."""
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
    """What the system refuses, in words; nothing for a closed pipe, which is no fault."""
    if error.errno is None or error.errno == errno.EPIPE:
        return ""
    place = error.filename or "a file, or the standard output"
    return f"{place}: {error.strerror}: mend that, and give the command again"


def _close_stdout() -> None:
    """Else the interpreter would try to print the rest as it ends, and show how that fails."""
    with suppress(OSError, ValueError):  # where a test has put something else in its place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
