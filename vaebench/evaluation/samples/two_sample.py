"""The classifier two-sample test: whether a classifier tells images of a model from real ones."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.data import Dataset
from vaebench.evaluation.grading import Grade, Subject, grading
from vaebench.evaluation.samples.drawn import (
    described,
    drawn,
    fingerprint,
    some,
    tests_in_words,
    too_few,
)
from vaebench.evaluation.samples.extractors import extractor_for, refusal
from vaebench.evaluation.samples.features import Extractor, features_of
from vaebench.evaluation.samples.intervals import share
from vaebench.evaluation.samples.neighbours import in_chunks, points, squared_distances

MIN_IMAGES = 4
"""Images of each kind at least: two to learn from and two to classify."""
OVERHEAD = 20_000
"""The time of all but the pairs, in pairs."""


def _refuses(subject: Subject, **hyper: float) -> str:
    remedy = "give more, or leave the grading out"
    return too_few(subject, MIN_IMAGES, remedy) or refusal(subject)


def _work(subject: Subject, **hyper: float) -> float:
    """The number of pairs of an image to classify and one learned from, plus the rest in pairs."""
    return float(OVERHEAD + _num_images(subject) ** 2)


def _num_images(subject: Subject) -> int:
    """How many images of a model, and as many test images, are compared."""
    return min(subject.num_images, len(subject.dataset.test))


@grading(
    source="Lopez-Paz & Oquab 2017, C2ST-KNN",
    refuses=_refuses,
    work=_work,
    about=About(
        formula=r"\hat{a} = \frac{1}{n} \sum_{i=1}^{n} \left[ \hat{y}_i = y_i \right], "
        r"\qquad \hat{y}_i = \text{what most of the } \lfloor \sqrt{n} \rfloor \text{ nearest "
        r"are, or of one fewer where that is even}",
        wrong_when="On few images it misses differences; on many it finds those that no one sees.",
    ),
)
def two_sample(subject: Subject) -> list[Grade]:
    """Accuracy of a classifier that tells images of a model from test images, and its p-value.

    0.5 where they cannot be told apart. As many images as there are test images, at most.
    """
    dataset, num = subject.dataset, _num_images(subject)
    extractor = extractor_for(dataset, subject.extractor)
    images, test = drawn(subject, num), _tests(dataset, extractor, num)
    hits = torch.stack([told_apart(test, of_run) for of_run in features_of(extractor, images.x)])
    of_real = _reference(dataset, extractor, num)[None]
    protocol = (
        f"{extractor.described}, {num} {described(subject)}, against "
        f"{tests_in_words(subject, num)}; nearest "
        f"neighbours learn from one half and are tried on the other; reference training images"
    )
    mark = fingerprint(subject, extractor, num_images=num, split="halves")
    graded = images.grade(
        "c2st_accuracy", share(hits), protocol, reference=share(of_real), fingerprint=mark
    )
    p_value = replace(
        graded,
        name="c2st_p_value",
        values=p_value_of(graded.values, hits.shape[-1]),
        low=None,
        high=None,
        reference=float(p_value_of(share(of_real).value, of_real.shape[-1])),
    )
    return [graded, p_value]


def told_apart(real: Tensor, ours: Tensor) -> Tensor:
    """Which of the held-out images are told apart rightly, of two equal sets [n, F]: [m], bool.

    Lopez-Paz & Oquab 2017, C2ST-KNN: a vote of the floor(sqrt(.)) nearest of those learned from,
    or one fewer where that is even. Half of either set is held out once. To take turns would use
    all images, but the turns agree too well for the accuracy to have its known distribution.
    """
    half = len(real) // 2
    learned, held_out = (
        points(torch.cat([real[part], ours[part]])) for part in (slice(half), slice(half, None))
    )
    num_voters = math.isqrt(2 * half)
    num_voters -= 1 - num_voters % 2
    called_ours = torch.empty(len(held_out.x), dtype=torch.bool)
    for rows, part in in_chunks(held_out, learned):
        nearest = squared_distances(part, learned).topk(num_voters, largest=False).indices
        called_ours[rows] = 2 * (nearest >= half).sum(1) > num_voters
    return called_ours == (torch.arange(len(called_ours)) >= len(called_ours) // 2)


def p_value_of(accuracy: Tensor, num_held_out: int) -> Tensor:
    """The probability of such an accuracy [S], or a higher one, where there is no difference.

    It is then normal about 1/2, with variance 1 / (4 m) for m held-out images (Lopez-Paz & Oquab
    2017, section 3).
    """
    return torch.special.ndtr((0.5 - accuracy) * 2 * math.sqrt(num_held_out))


@functools.lru_cache(maxsize=4)
def _tests(dataset: Dataset, extractor: Extractor, num: int) -> Tensor:
    return features_of(extractor, some(dataset.test, num, "two-sample test"))


@functools.lru_cache(maxsize=4)
def _reference(dataset: Dataset, extractor: Extractor, num: int) -> Tensor:
    """Hits with training images in place of a model's, as many as there are in both parts."""
    train = features_of(extractor, some(dataset.train, num, "reference"))
    return told_apart(_tests(dataset, extractor, num)[: len(train)], train)
