"""The listeners of a study, told one after another; one that raises is left out from then on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout

from vaebench.config import RunConfig
from vaebench.core.errors import InputError, InputWarning, first_line
from vaebench.results import Record
from vaebench.running.listeners.entry import LISTENERS, Listener, Open


class Audience:
    """Some listeners as one. No fault of theirs reaches the study: it is said once. What they print
    goes to standard error, as results alone go to standard output."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def run_started(self, config: RunConfig) -> None:
        """Tell all of them, as the other methods do."""
        self._each(lambda listener: listener.run_started(config))

    def curve_point(self, run: str, point: Mapping[str, float]) -> None:
        self._each(lambda listener: listener.curve_point(run, point))

    def run_recorded(self, record: Record) -> None:
        self._each(lambda listener: listener.run_recorded(record))

    def close(self) -> None:
        self._each(lambda listener: listener.close())

    def _each(self, tell: Callable[[Listener], None]) -> None:
        for listener in [*self._listeners]:
            try:
                with redirect_stdout(sys.stderr):
                    tell(listener)
            except Exception as error:
                self._listeners.remove(listener)
                warnings.warn(
                    f"the listener {type(listener).__name__} is left out from here on, the runs "
                    f"are not: it raised {type(error).__name__}: {first_line(error)}",
                    InputWarning,
                    stacklevel=4,
                )


NOBODY = Audience()


@contextmanager
def audience_of(listeners: Iterable[Listener]) -> Iterator[Audience]:
    """An audience of these listeners, which are closed at the end of this context."""
    audience = Audience(listeners)
    try:
        yield audience
    finally:
        audience.close()


def named(texts: Sequence[str]) -> list[tuple[str, Open, str]]:
    """The listeners that texts such as tensorboard:FOLDER name, each with its target. None is
    opened, as that may write elsewhere. Raises InputError for an unknown one."""
    parts = [text.partition(":") for text in texts]
    return [(name, LISTENERS[name], target) for name, _, target in parts]


def opened(texts: Sequence[str]) -> list[Listener]:
    """The listeners that such texts name, opened. Raises InputError."""
    with redirect_stdout(sys.stderr):
        return [_opened(*one) for one in named(texts)]


def _opened(name: str, make: Open, target: str) -> Listener:
    try:
        return make(target)
    except (InputError, OSError):  # which say in a line what is wrong
        raise
    except Exception as error:
        raise InputError(
            f"the listener {name} must open; it raised {type(error).__name__}: "
            f"{first_line(error)}: mend it, or leave out --listen"
        ) from error
