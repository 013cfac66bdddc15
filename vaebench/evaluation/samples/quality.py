"""Sample quality: images of a model against held-out images, by distances and neighbours."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.hyper import Hyper
from vaebench.data import Dataset
from vaebench.evaluation.grading import Grade, Subject, grading
from vaebench.evaluation.samples.drawn import (
    Drawn,
    described,
    drawn,
    fingerprint,
    some,
    tests_in_words,
    too_few,
)
from vaebench.evaluation.samples.extractors import extractor_for, raw, refusal
from vaebench.evaluation.samples.features import Extractor, digest, features_of
from vaebench.evaluation.samples.fidelity import Balls, balls, compared
from vaebench.evaluation.samples.frechet import Gaussian, frechet, gaussian
from vaebench.evaluation.samples.intervals import Estimate, joined, share
from vaebench.evaluation.samples.kernel_distance import Kernels, kernels_of, kid
from vaebench.evaluation.samples.memorised import NEARER, copies

NUM_NEIGHBOURS = 5
PER_EXAMPLE = "recall", "coverage"
"""Metrics that are means over the test images."""


def _num_pairs(subject: Subject, **hyper: float) -> float:
    dataset, num = subject.dataset, subject.num_images
    return float(num * (num + len(dataset.test) + len(dataset.train)))


def _refuses(subject: Subject, *, num_neighbours: int = NUM_NEIGHBOURS, **hyper: float) -> str:
    """Why there are too few images: the jackknife leaves one neighbour of an image out."""
    remedy = "give more, ask for fewer neighbours, or leave the grading out"
    return too_few(subject, num_neighbours + 2, remedy) or refusal(subject)


@grading(
    source="Heusel et al. 2017, eq. 6; Binkowski et al. 2018; Kynkaanniemi et al. 2019, eq. 1-2; "
    "Naeem et al. 2020; Yoon et al. 2023",
    refuses=_refuses,
    work=_num_pairs,
    small={"num_neighbours": NUM_NEIGHBOURS},
    about=About(
        formula=r"\mathrm{Frechet} = |m_1 - m_2|^2 + \mathrm{tr}\left( C_1 + C_2 - 2 (C_1 "
        r"C_2)^{1/2} \right)",
        wrong_when="Across protocols: other features, counts or preprocessing give another "
        "number, so values are compared only where their fingerprints are equal. "
        "From few images it is biased upwards.",
    ),
)
def samples(
    subject: Subject,
    *,
    num_neighbours: Annotated[int, Hyper(search=(3, 10), low=1)] = NUM_NEIGHBOURS,
) -> list[Grade]:
    """Frechet and kernel distance, precision, recall, density, coverage, and copied images."""
    dataset, num_images = subject.dataset, subject.num_images
    extractor = extractor_for(dataset, subject.extractor)
    images = drawn(subject, num_images)
    of_real = _reference(dataset, extractor, num_images, num_neighbours)
    features = features_of(extractor, images.x)
    return [
        *_grades(subject, extractor, images, of_real, _scores(of_real.real, features)),
        _memorised(subject, images),
    ]


# ------------------------------------------------------------------ by features


@dataclass(frozen=True)
class Real:
    """Features of the test part, prepared for comparisons."""

    gaussian: Gaussian
    kernels: Kernels
    balls: Balls


@dataclass(frozen=True)
class Reference:
    """The test part, and how the training part compares with it."""

    real: Real
    scores: dict[str, Estimate]
    num_trained: int


@functools.lru_cache(maxsize=4)
def _reference(
    dataset: Dataset, extractor: Extractor, num_images: int, num_neighbours: int
) -> Reference:
    """The test part, compared with as many training images as a model gives, or all of them."""
    test = features_of(extractor, dataset.test.images)
    real = Real(gaussian(test), kernels_of(test), balls(test, num_neighbours))
    train = features_of(extractor, some(dataset.train, num_images, "reference"))
    return Reference(real, _scores(real, train[None]), len(train))


def _scores(real: Real, features: Tensor) -> dict[str, Estimate]:
    """Estimates by metric name for features [S, n, F]: [S] each."""
    runs = [
        {
            "kid": kid(real.kernels, kernels_of(of_run)),
            **compared(real.balls, balls(of_run, real.balls.num_neighbours)),
        }
        for of_run in features
    ]
    by_name = {name: joined([run[name] for run in runs]) for name in runs[0]}
    return {"frechet": frechet(real.gaussian, features), **by_name}


def _grades(
    subject: Subject,
    extractor: Extractor,
    images: Drawn,
    of_real: Reference,
    scores: dict[str, Estimate],
) -> list[Grade]:
    num_tests, k = len(subject.dataset.test), of_real.real.balls.num_neighbours
    stem = (
        f"{extractor.described}, {subject.num_images} {described(subject)}, against "
        f"{tests_in_words(subject, num_tests)}; reference {of_real.num_trained} training images"
    )
    doubt = _singular(subject.num_images, num_tests, of_real.real.gaussian.root.shape[0])
    numbers = {"num_images": subject.num_images, "num_tests": num_tests}
    common = fingerprint(subject, extractor, **numbers)
    with_k = fingerprint(subject, extractor, **numbers, num_neighbours=k)
    stated = {
        "frechet": (f"{stem}; biased upward, the more the fewer images", common, doubt),
        "kid": (f"{stem}; unbiased", common, ""),
    }
    return [
        images.grade(
            name,
            estimate,
            protocol,
            reference=of_real.scores[name],
            fingerprint=mark,
            doubt=reason,
            per_example=name in PER_EXAMPLE,
        )
        for name, estimate in scores.items()
        for protocol, mark, reason in [
            stated.get(name, (f"{stem}; k={k}, interval of at least 95%", with_k, ""))
        ]
    ]


def _singular(num_images: int, num_tests: int, num_features: int) -> str:
    fewest = min(num_images, num_tests)
    if fewest > num_features:
        return ""
    return f"{fewest} images are too few for a covariance of {num_features} features"


# ------------------------------------------------------------------ by pixels


def _memorised(subject: Subject, images: Drawn) -> Grade:
    dataset, num_images = subject.dataset, subject.num_images
    of_tests, mark = _copied_tests(dataset, num_images)
    return images.grade(
        "memorised",
        share(torch.stack([copies(x, dataset.train.images) for x in images.x])),
        f"{num_images} {described(subject)}, less than 1/{NEARER} as far from one of "
        f"{len(dataset.train)} training images as from the next, by pixels; reference test images",
        reference=of_tests,
        fingerprint=fingerprint(subject, raw(dataset), num_images=num_images, train=mark),
    )


@functools.lru_cache(maxsize=4)
def _copied_tests(dataset: Dataset, num_images: int) -> tuple[Estimate, str]:
    """The share of as many test images that would be called copies; the training part's digest."""
    tests, train = some(dataset.test, num_images, "copied"), dataset.train.images
    return share(copies(tests, train)[None]), digest(train)
