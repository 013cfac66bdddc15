"""How long an evaluation will take, estimated from a short run of each grading."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from vaebench.data import Dataset, Images, Part
from vaebench.evaluation.grading import GRADINGS, Subject, ask, check, with_own_streams

NUM_TRIED = 48
"""Images of each part, and images drawn, in a short run."""


@torch.no_grad()
def budget(
    subject: Subject,
    gradings: Mapping[str, Mapping[str, float]],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """How many seconds each grading is estimated to take, by name.

    Each is run twice on a few images, with the scalars that it declares for this. What the first
    run takes longer than the second (imports, an extractor to train) is paid once; the second
    grows with the work that the grading declares. Raises InputError for a grading that is refused.
    """
    check(subject, gradings)
    return {name: _seconds(subject, name, hyper, clock) for name, hyper in gradings.items()}


def _seconds(
    subject: Subject, name: str, hyper: Mapping[str, float], clock: Callable[[], float]
) -> float:
    entry, few = GRADINGS[name], with_own_streams(_few(subject), name)
    whole = entry.completed(hyper)
    short = {scalar: min(value, entry.small.get(scalar, value)) for scalar, value in whole.items()}
    times = [clock()]
    for _ in range(2):
        ask(entry.grade, few, **short)
        times.append(clock())
    first, second = times[1] - times[0], times[2] - times[1]
    growth = ask(entry.work, subject, **whole) / ask(entry.work, few, **short)
    return max(0.0, first - second) + second * growth


def _few(subject: Subject) -> Subject:
    """The subject with a few images in the parts that are graded."""
    return replace(
        subject,
        dataset=_with_few(subject.dataset),
        num_images=min(NUM_TRIED, subject.num_images),
    )


def _with_few(dataset: Dataset) -> Dataset:
    return replace(dataset, valid=_first(dataset.valid), test=_first(dataset.test))


def _first(part: Part) -> Part:
    y, factors = (v if v is None else v[:NUM_TRIED] for v in (part.y, part.factors))
    return Part(Images(part.images[:NUM_TRIED]), y, factors)
