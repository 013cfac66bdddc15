"""How a study shows its progress: the callbacks, and the words for its runs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from vaebench import results
from vaebench.running.coordinate import OnSteps


@dataclasses.dataclass(frozen=True)
class Meter:
    """Two callbacks that show progress: one for training steps, one for runs."""

    on_steps: OnSteps
    on_runs: Callable[[str], None]
    """Called as a stack ends, with what has become of the study's runs so far."""


Progress = Callable[[str, int], AbstractContextManager[Meter]]
"""(description of the work, its number of steps) -> a context with a Meter to report to."""


@contextmanager
def silent(what: str, total: int) -> Iterator[Meter]:
    """A Progress that shows nothing."""
    yield Meter(lambda steps: None, lambda words: None)


def counted(ended: Mapping[str, results.Status], num_runs: int) -> str:
    """How many runs ended how, in words."""
    counts = Counter(ended.values())
    rest = "".join(f", {counts[s]} {s}" for s in ("diverged", "failed") if counts[s])
    return f"{counts['done']} of {num_runs} runs done{rest}"
