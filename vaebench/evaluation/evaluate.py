"""Every grade of a stack of models, each with a fingerprint, and what there is to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaebench.core.hyper import source_fingerprint
from vaebench.core.user_code import is_users
from vaebench.data import DRAWS
from vaebench.evaluation.exhibits import Shown, exhibited
from vaebench.evaluation.grading import (
    GRADINGS,
    Grade,
    Grading,
    Subject,
    ask,
    check,
    runs_alone,
    side_by_side,
    with_own_streams,
)
from vaebench.evaluation.samples.drawn import prior_means

NUM_SHOWN = 64
"""Sample images of a run that are kept beside its record, at most."""
USUAL: Mapping[str, Mapping[str, float]] = {
    name: {} for name in ("likelihood", "latent", "samples", "two_sample")
}
"""The gradings that every run gets, cheap ones, with their scalars."""


@dataclass(frozen=True)
class Evaluation:
    """The grades of S runs, and what there is to look at."""

    grades: list[Grade]
    images: Tensor  # [S, n, P] means of p(x|z) for z from the prior
    shown: list[Shown]

    @property
    def values(self) -> dict[str, list[float]]:
        """The values of each run, by metric name."""
        return {grade.name: grade.values.tolist() for grade in self.grades}


@torch.no_grad()
def evaluate(subject: Subject, gradings: Mapping[str, Mapping[str, float]] = USUAL) -> Evaluation:
    """Every grade of every run of the stack, on the test part; the bounds on validation too.

    `gradings`: entries of the registry by name, with their scalars. Each draws random numbers of
    its own, so that a grade does not depend on what else is asked for. Raises InputError for one
    that the subject cannot be graded by.
    """
    check(subject, gradings)
    grades = [grade for name, hyper in gradings.items() for grade in _graded(subject, name, hyper)]
    noise = with_own_streams(subject, "samples").noise
    images = prior_means(subject.model, noise, min(NUM_SHOWN, subject.num_images))
    return Evaluation(grades, images.cpu(), exhibited(subject))


def _graded(subject: Subject, name: str, hyper: Mapping[str, float]) -> Iterator[Grade]:
    """The grades of one grading, each with a fingerprint."""
    entry = GRADINGS[name]
    scalars = entry.completed(hyper)
    mark = _fingerprint(subject, entry, scalars)
    for grade in _asked(entry, with_own_streams(subject, name), scalars):
        yield replace(grade, fingerprint=grade.fingerprint or mark)


def _asked(entry: Grading, subject: Subject, scalars: Mapping[str, float]) -> list[Grade]:
    """The grades of one grading; a user's is asked about each run alone.

    So no run's grade depends on which others are in its stack.
    """
    if not is_users(entry.grade):
        return ask(entry.grade, subject, **scalars)
    each = [
        ask(entry.grade, replace(subject, model=model, noise=noise), **scalars)
        for model, noise in runs_alone(subject.model, subject.noise)
    ]
    return [side_by_side(grades) for grades in zip(*each, strict=True)]


def _fingerprint(subject: Subject, entry: Grading, scalars: Mapping[str, float]) -> str:
    """The hash of what two values must share, where a grading does not say it itself.

    That is its name, its file where it is the user's, its scalars, K, and the observed data.
    """
    data = subject.dataset
    stated = (
        *(entry.name, source_fingerprint(entry.grade), sorted(scalars.items())),
        *(subject.num_samples, data.fingerprint, data.binarisation, data.dequantised, DRAWS),
    )
    return hashlib.sha256(repr(stated).encode()).hexdigest()[:12]
