"""What shows the progress of some work: two callbacks, of which the work knows no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from vaebench.running.standing import Standing

OnSteps = Callable[[int], None]
"""Called with the number of training steps done since the last call, summed over runs."""


@dataclass(frozen=True)
class Meter:
    """Two callbacks that show progress: one for training steps, one for where the work stands."""

    on_steps: OnSteps = lambda steps: None
    on_standing: Callable[[Standing], None] = lambda standing: None


Progress = Callable[[str, int], AbstractContextManager[Meter]]
"""(description of the work, its number of steps) -> a context with a Meter to report to."""
UNSEEN = Meter()


@contextmanager
def silent(what: str, total: int) -> Iterator[Meter]:
    """A Progress that shows nothing."""
    yield UNSEEN
