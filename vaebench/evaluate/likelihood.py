"""Held-out likelihood: the ELBO with its parts, and the importance-weighted bound."""

from __future__ import annotations

import math
from dataclasses import replace

from vaebench.evaluate.bounds import bounds
from vaebench.evaluate.grading import Grade, Subject, grading


@grading(source="Kingma & Welling 2014, eq. 3; Burda et al. 2016, eq. 8")
def likelihood(subject: Subject) -> list[Grade]:
    """ELBO at beta = 1, rate, distortion and importance-weighted NLL, on test and validation."""
    grades = [grade for part in ("test", "valid") for grade in _of_part(subject, part)]
    return [*grades, *_in_bits(subject, grades[1])]


def _of_part(subject: Subject, part: str) -> list[Grade]:
    noise = subject.noise.at(step=("test", "valid").index(part))
    found = bounds(subject.model, subject.observed(part), noise, num_samples=subject.num_samples)
    names = ("elbo", "nll", "rate", "distortion") if part == "test" else ("elbo", "nll")
    prefix = "" if part == "test" else "valid_"
    return [
        Grade(
            f"{prefix}{name}",
            getattr(found, name).mean(-1),
            f"{part}, K={subject.num_samples}",
            parts=getattr(found, name),
        )
        for name in names
    ]


def _in_bits(subject: Subject, nll: Grade) -> list[Grade]:
    """bits/dim, where there is a probability of the stored image to count them of."""
    dataset = subject.dataset
    if subject.model.likelihood.measure != "mass" and not dataset.dequantised:
        return []
    stated = "uniform dequantisation, a bound" if dataset.dequantised else dataset.binarisation
    return [
        replace(
            nll,
            name="bits_per_dim",
            values=nll.values / (dataset.num_pixels * math.log(2.0)),
            protocol=f"{nll.protocol}, {stated}",
            parts=None,
        )
    ]
