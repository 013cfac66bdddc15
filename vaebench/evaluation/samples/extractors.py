"""Extractors of features by name: of a data set's own training part, or from a file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.core.errors import InputError, near_match
from vaebench.data import Dataset, Part
from vaebench.evaluation.grading import Subject
from vaebench.evaluation.samples.classifier import classifier, classifier_that_learned
from vaebench.evaluation.samples.drawn import some
from vaebench.evaluation.samples.extractor_files import from_file, named, why_no_file
from vaebench.evaluation.samples.features import Extractor, digest

NUM_COMPONENTS = 32
MOST_BYTES = 2 << 30
"""Bytes of float64 that principal components are fitted to, at most."""


def auto(dataset: Dataset) -> Extractor:
    """A small classifier where the data set has labels that one learns, else principal components.

    Its description says why where there are labels of no use.
    """
    learned, reason = classifier_that_learned(dataset)
    if learned is not None:
        return learned
    components = pca(dataset)
    return replace(components, described=components.described + (reason and f" ({reason})"))


def pca(dataset: Dataset) -> Extractor:
    """The first 32 principal components of the training part, of log(1 + x) for counts x.

    Of a part that would be large in float64, a seeded choice of images is enough.
    Its fingerprint is that of the training part: the components are known up to signs and rounding,
    which distances do not see.
    """
    from sklearn.decomposition import PCA

    images, counted = dataset.train.images, dataset.values == "counts"
    num = min(NUM_COMPONENTS, len(images), images.num_pixels)

    def seen(x: Tensor) -> NDArray[np.float64]:
        return (x.double().log1p() if counted else x.double()).numpy()

    fitted = PCA(num, random_state=0, copy=False).fit(seen(_of_moderate_size(dataset.train)))
    return Extractor(
        lambda x: torch.from_numpy(fitted.transform(seen(x))),
        f"pca {num}{' of log(1 + x)' if counted else ''}",
        digest("pca", str(num), images),
    )


def _of_moderate_size(part: Part) -> Tensor:
    """All images of a part, or as many as 2 GiB hold in float64."""
    most = MOST_BYTES // (8 * part.images.num_pixels)
    if len(part) <= most:
        return part.images.whole(torch.float64)
    return some(part, most, "principal components")


def raw(dataset: Dataset) -> Extractor:
    """The pixels themselves."""
    return Extractor(lambda x: x, f"raw {dataset.num_pixels}", "raw")


EXTRACTORS: Mapping[str, Callable[[Dataset], Extractor]] = {
    function.__name__: function for function in (auto, classifier, pca, raw)
}


def extractor_for(dataset: Dataset, name: str = "auto") -> Extractor:
    """An extractor by name, or from FILE.pt, FILE.pt2 or FILE.py:NAME; the last few are cached.

    Raises InputError for one that is not there, that does not load or that gives no features.
    """
    if reason := why_not(dataset, name):
        raise InputError(reason)
    return _cached(dataset, name, None if name in EXTRACTORS else _stamp(name))


def why_not(dataset: Dataset, name: str) -> str:
    """Why there is no such extractor for a data set, and what to do; "" where there is one."""
    if name not in EXTRACTORS:
        reason = why_no_file(name)
        return reason and f"extractor {name!r}: {reason}; {near_match(name, EXTRACTORS)}"
    if name == "classifier" and dataset.train.y is None:
        return f"extractor 'classifier' needs labels; {dataset.label!r} has no y_train: take 'pca'"
    if name == "classifier" and dataset.train.y is not None and len(dataset.train.y.unique()) < 2:
        return (
            f"extractor 'classifier' needs two classes or more; all of y_train of "
            f"{dataset.label!r} are {int(dataset.train.y[0])}: take 'pca'"
        )
    return ""


def refusal(subject: Subject) -> str:
    """Why the images of a subject cannot be compared, and what to do; "" where they can.

    An extractor from a file is loaded, which tries it on two images.
    """
    if subject.extractor in EXTRACTORS:
        return why_not(subject.dataset, subject.extractor)
    try:
        extractor_for(subject.dataset, subject.extractor)
    except InputError as error:
        return str(error)
    return ""


def _stamp(name: str) -> tuple[int, int]:
    """Time and size of an extractor's file, by which a changed one is read again."""
    status = named(name).path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=4)
def _cached(dataset: Dataset, name: str, stamp: tuple[int, int] | None) -> Extractor:
    return EXTRACTORS[name](dataset) if stamp is None else from_file(name, dataset)
