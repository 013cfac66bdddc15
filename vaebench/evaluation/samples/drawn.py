"""Images drawn from models, and grades of them that allow for runs whose images are not finite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.data import Part
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded, Subject
from vaebench.evaluation.samples.features import Extractor, digest
from vaebench.evaluation.samples.intervals import Estimate
from vaebench.ops.noise import Noise, key, permutations

DRAWN = "means of p(x|z), z from the prior"
DRAWN_VECTORS = "vectors from p(x|z), without a sheet of images, z from the prior"
NOT_FINITE = "the model's images have NaN or infinity"


@dataclass(frozen=True)
class Drawn:
    """Images drawn from S models, and which models gave finite ones."""

    x: Tensor  # [S, n, P] on the CPU; zeros for a run whose images are not finite
    finite: Tensor  # [S]

    def grade(
        self,
        name: str,
        estimate: Estimate,
        protocol: str,
        *,
        reference: Estimate,
        fingerprint: str,
        doubt: str = "",
        per_example: bool = False,
    ) -> Grade:
        """The grade of an estimate; NaN, with the reason, for a run whose images are not finite."""
        parts = estimate.parts.float() if per_example and estimate.parts is not None else None
        return Grade(
            name,
            self._where_finite(estimate.value),
            protocol,
            self._where_finite(estimate.low),
            self._where_finite(estimate.high),
            float(reference.value),
            fingerprint,
            tuple(doubt if finite else NOT_FINITE for finite in self.finite.tolist()),
            None if parts is None else torch.where(self.finite[:, None], parts, torch.nan),
        )

    def _where_finite(self, values: Tensor) -> Tensor:
        return torch.where(self.finite, values, torch.nan)


def drawn(subject: Subject, num_images: int) -> Drawn:
    """Images of each model, decoded from codes of its prior; vectors are drawn from p(x|z)."""
    make = _prior_vectors if _are_vectors(subject) else _prior_images
    x = make(subject, num_images).cpu()
    finite = x.isfinite().flatten(1).all(1)
    return Drawn(torch.where(finite[:, None, None], x, 0.0), finite)


def described(subject: Subject) -> str:
    """What is drawn, in words."""
    if not _are_vectors(subject):
        return DRAWN
    known = ", library sizes of training examples" if subject.dataset.by_library else ""
    return DRAWN_VECTORS + known


def tests_in_words(subject: Subject, num: int) -> str:
    """So many examples of the test part, as a protocol names them."""
    return f"{num} {'grey test images' if subject.dataset.pictured else 'test examples'}"


def _are_vectors(subject: Subject) -> bool:
    """Whether an example is no image, whose mean may stand for it, and can be drawn."""
    return not subject.dataset.pictured and subject.model.likelihood.sample is not None


def _prior_images(subject: Subject, num: int) -> Tensor:
    return prior_means(subject.model, subject.noise, num)


@torch.no_grad()
def _prior_vectors(subject: Subject, num: int) -> Tensor:
    """x drawn from p(x|z) for z drawn from the prior: [S, n, P].

    Where library sizes are known, they are those of training examples.
    """
    model, noise = subject.model, subject.noise
    z = model.prior().sample(noise, num, model.latent).to(model.like)[None]
    train = subject.observations("train")
    x = train[torch.arange(num) % len(train)].expand(model.num_runs, -1, -1)

    def some(first: int, size: int) -> Tensor:
        rows = slice(first, first + size)
        pixels = noise.named("pixels").at(row=first)
        return model.sample_image(z[:, :, rows], pixels, x[:, rows])[0]

    size = rows_within(bytes_for(model.like.device), lambda: some(0, 1))
    return torch.cat([some(first, size) for first in range(0, num, size)], 1)


@torch.no_grad()
def prior_means(model: Graded, noise: Noise, num_images: int) -> Tensor:
    """E[x|z] for z drawn from the prior: [S, n, P]."""
    z = model.prior().sample(noise, num_images, model.latent).to(model.like)[None]
    num_rows = rows_within(bytes_for(model.like.device), lambda: model.mean_image(z[:, :, :1]))
    return torch.cat([model.mean_image(part)[0] for part in z.split(num_rows, 2)], 1)


def some(part: Part, num: int, purpose: str) -> Tensor:
    """At most n images of a part, the same ones for every caller with one purpose: [n, P]."""
    return part.images[permutations(Noise((key(purpose),)), len(part))[0, :num]]


def too_few(subject: Subject, needed: int, remedy: str) -> str:
    """Why there are fewer images of a kind than needed, and what to do; "" where there are not."""
    data = subject.dataset
    counts = {
        "generated": subject.num_images,
        "test": len(data.test),
        "train": len(data.train),
    }
    reasons = (
        f"it needs {needed} {kind} images or more; there are {num}: {remedy}"
        for kind, num in counts.items()
        if num < needed
    )
    return next(reasons, "")


def fingerprint(subject: Subject, extractor: Extractor, **numbers: int | str) -> str:
    """A hash of all that two values must share to be compared, beside the metric's own name."""
    stated = {
        "extractor": extractor.fingerprint,
        "preprocessing": extractor.preprocessing,
        "images": described(subject),
        "dataset": subject.dataset.fingerprint,
        **numbers,
    }
    return digest(repr(sorted(stated.items())))
