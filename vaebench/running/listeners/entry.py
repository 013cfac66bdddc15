"""What follows the runs of a study from outside, and the decorator that registers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from vaebench.config import RunConfig
from vaebench.core.registry import Registry, name_of
from vaebench.results import Record


@runtime_checkable
class Listener(Protocol):
    """Is told what happens to the runs of a study, in the process that records them.

    The calls come one at a time, and the study waits for each: a listener that is slow should
    hand on what it hears to a thread of its own.
    """

    def run_started(self, config: RunConfig) -> None:
        """A worker has begun a run. One whose worker is lost is begun again, by the same id."""

    def curve_point(self, run: str, point: Mapping[str, float]) -> None:
        """A run, by its id, has reached a point of its learning curve.

        `point`: step, loss_nats, rate_nats, distortion_nats, grad_norm and valid_elbo_nats. Of a
        run on SLURM no points come, as its tasks write into the folder themselves.
        """

    def run_recorded(self, record: Record) -> None:
        """A run has ended, one way or another, and its record is written."""

    def close(self) -> None:
        """The study has ended, or was stopped."""


Open = Callable[[str], Listener]
"""(what comes after the colon of --listen NAME:TARGET, "" where nothing does) -> a listener."""
LISTENERS: Registry[Open] = Registry("listener")
Function = TypeVar("Function", bound=Open)


def listener(function: Function) -> Function:
    """Register the decorated function, or class, under its own name: `--listen` chooses it.

    It takes the target, a text, and gives a `Listener`.
    """
    LISTENERS.add(name_of(function), function)
    return function
