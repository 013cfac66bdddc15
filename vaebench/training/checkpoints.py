"""Runs that pause on the way: what each needs to go on as if it had not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.models import VAE, select, tensors
from vaebench.ops.adam import Moments
from vaebench.training.curves import Curve, Log
from vaebench.training.progress import AT_START, Progress
from vaebench.training.scalars import State


@dataclass(frozen=True)
class Checkpoint:
    """One run after some of its steps. Random numbers need no state: they follow from the step."""

    index: int
    """The steps that it has taken."""
    values: list[Tensor]
    """Parameters and buffers: [1, ...] each."""
    first: list[Tensor]
    """Adam's moments: none for a run that has stopped early, as for the next three."""
    second: list[Tensor]
    averages: list[Tensor]
    """Moving averages of the parameters; none also where they are not averaged."""
    count: Tensor | None
    state: State
    curve: Curve
    best: list[Tensor]
    """The values at the best point so far, where the run keeps those."""

    def to_bytes(self) -> bytes:
        """The checkpoint as the bytes of a file that torch.load reads."""
        buffer = io.BytesIO()
        torch.save(asdict(self), buffer)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(content: bytes) -> Checkpoint:
        """The checkpoint that `to_bytes` wrote. Raises InputError for one of another version."""
        parts = torch.load(io.BytesIO(content), weights_only=True)
        expected = {field.name for field in fields(Checkpoint)}
        if parts.keys() != expected:
            raise InputError(
                f"a run that paused must go on in the version that paused it; its checkpoint has "
                f"other parts than this one's, {', '.join(sorted(parts.keys() ^ expected))}: run "
                f"it again from the start, in another folder"
            )
        return Checkpoint(**parts)


def checkpoints(
    model: VAE, log: Log, runs: Sequence[int], progress: Progress
) -> tuple[Checkpoint, ...]:
    """A checkpoint of each run of a stack, of which `runs` have come as far as `progress`."""
    return tuple(
        _checkpoint(model, log, run, progress.of([runs.index(run)]) if run in runs else AT_START)
        for run in range(len(log.curves))
    )


def resume(start: Sequence[Checkpoint], model: VAE, log: Log) -> Progress:
    """Give a new stack the weights and the curves of its checkpoints; how far its runs have come.

    The progress is that of the runs that go on, which have all taken as many steps.
    """
    for whole, parts in zip(
        tensors(model), zip(*(c.values for c in start), strict=True), strict=False
    ):
        whole.data.copy_(torch.cat(parts))
    best = {run: _with_values(model, run, c.best) for run, c in enumerate(start) if c.best}
    log.resume([c.curve for c in start], best, sum(c.index for c in start))
    going_on = [c for run, c in enumerate(start) if log.goes_on(run)]
    if not going_on:
        return AT_START
    place, first = next(model.parameters()), going_on[0]
    assert first.count is not None and all(c.index == first.index for c in going_on)
    moments = Moments(
        [t.to(place) for t in _side_by_side([c.first for c in going_on])],
        [t.to(place) for t in _side_by_side([c.second for c in going_on])],
        first.count.to(place.device),
        [t.to(place) for t in _averages(going_on)],
    )
    state = {name: torch.cat([c.state[name] for c in going_on]).to(place) for name in first.state}
    return Progress(first.index, moments, state)


def _checkpoint(model: VAE, log: Log, run: int, progress: Progress) -> Checkpoint:
    curve, moments = log.curves[run], progress.moments
    return Checkpoint(
        progress.index or int(curve["step"][-1]),
        _values(select(model, [run])),
        [t.cpu() for t in moments.first] if moments else [],
        [t.cpu() for t in moments.second] if moments else [],
        [t.cpu() for t in moments.averages] if moments else [],
        moments.count.cpu() if moments else None,
        {name: value.cpu() for name, value in (progress.state or {}).items()},
        curve,
        _values(log.best[run]) if run in log.best else [],
    )


def _averages(some: Sequence[Checkpoint]) -> list[Tensor]:
    """The averages of a stack, of which a run that is not averaged has its parameters."""
    if not any(c.averages for c in some):
        return []
    return _side_by_side([c.averages or c.values[: len(c.first)] for c in some])


def _values(model: VAE) -> list[Tensor]:
    return [tensor.detach().cpu() for tensor in tensors(model)]


def _with_values(model: VAE, run: int, values: Sequence[Tensor]) -> VAE:
    """A copy of one run of a model with other values."""
    alone = select(model, [run])
    for tensor, value in zip(tensors(alone), values, strict=True):
        tensor.data.copy_(value)
    return alone


def _side_by_side(of_runs: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Tensors of several runs, [1, ...] each, as those of one stack."""
    return [torch.cat(parts) for parts in zip(*of_runs, strict=True)]
