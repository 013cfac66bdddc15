"""Images drawn from models, and grades of them that allow for runs whose images are not finite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.data import Dataset, Part
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded, Subject
from vaebench.evaluation.samples.features import Extractor, digest
from vaebench.evaluation.samples.intervals import Estimate
from vaebench.ops.noise import Noise, key, permutations

DRAWN = "means of p(x|z), z from the prior"
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
    """Images of each model, decoded from codes of its prior."""
    x = prior_means(subject.model, subject.noise, num_images).cpu()
    finite = x.isfinite().flatten(1).all(1)
    return Drawn(torch.where(finite[:, None, None], x, 0.0), finite)


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


def fingerprint(dataset: Dataset, extractor: Extractor, **numbers: int | str) -> str:
    """A hash of all that two values must share to be compared, beside the metric's own name."""
    stated = {
        "extractor": extractor.fingerprint,
        "preprocessing": extractor.preprocessing,
        "images": DRAWN,
        "dataset": dataset.fingerprint,
        **numbers,
    }
    return digest(repr(sorted(stated.items())))
