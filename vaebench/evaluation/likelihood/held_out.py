"""Held-out likelihood: the ELBO with its parts, and the importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from vaebench.core.about import About
from vaebench.data import PartName
from vaebench.evaluation.grading import Grade, Subject, grading
from vaebench.evaluation.likelihood.bounds import Bounds, bounds
from vaebench.evaluation.likelihood.weights import for_many, khat_threshold, tail_size

FEWEST = 5
"""Effective samples of an example at least: a mean of fewer weights is nearly the largest one."""
PARTS: tuple[PartName, PartName] = ("test", "valid")


def _num_graded(subject: Subject) -> float:
    return float(sum(len(getattr(subject.dataset, part)) for part in PARTS))


@grading(
    source="Kingma & Welling 2014, eq. 3; Burda et al. 2016, eq. 8; Vehtari et al. 2024",
    work=_num_graded,
    about=About(
        formula=r"\mathrm{ELBO} = -\mathcal{D} - \mathcal{R}, \qquad \mathrm{NLL} = -\log "
        r"\frac{1}{K} \sum_{k=1}^{K} w_k",
        wrong_when="Where few weights carry the sum (high k-hat, few effective samples): "
        "the NLL is then above the true one by an unknown amount, and it is "
        "marked. It is above it on average at any K.",
        cost="K decodings of each test and validation image",
    ),
)
def likelihood(subject: Subject) -> list[Grade]:
    """ELBO at beta = 1, rate, distortion and importance-weighted NLL, on test and validation.

    With the effective sample size and the Pareto k-hat of the importance weights: where k-hat is
    high for many examples, K samples are too few, and the NLL is in doubt.
    """
    test = _of_part(subject, "test")
    grades = [
        *_grades(test, "test", subject, ("elbo", "nll", "rate", "distortion", "ess")),
        *_high(test.khat, subject.num_samples),
        *on_validation(subject),
    ]
    return [*grades, *_in_bits(subject, grades[1])]


def on_validation(subject: Subject) -> list[Grade]:
    """ELBO and NLL on the validation part alone, by which runs are chosen."""
    return _grades(_of_part(subject, "valid"), "valid", subject, ("elbo", "nll"), "valid_")


def _of_part(subject: Subject, part: PartName) -> Bounds:
    noise = subject.noise.at(step=PARTS.index(part))
    return bounds(subject.model, subject.observations(part), noise, num_samples=subject.num_samples)


def _grades(
    bounds_of_part: Bounds, part: str, subject: Subject, names: Sequence[str], prefix: str = ""
) -> list[Grade]:
    """Means over the examples of fields of Bounds."""
    num_samples = subject.num_samples
    judged = "" if tail_size(num_samples) else ", too few for a k-hat"
    doubted = doubts(bounds_of_part.khat, bounds_of_part.ess, num_samples)
    return [
        Grade(
            f"{prefix}{name}",
            getattr(bounds_of_part, name).mean(-1),
            f"{part}, K={num_samples}{judged if name == 'nll' else ''}",
            doubts=doubted if name == "nll" else (),
            parts=getattr(bounds_of_part, name),
        )
        for name in names
    ]


def _high(khat: Tensor, num_samples: int) -> list[Grade]:
    """The share of examples whose k-hat is high, where K is large enough to tell."""
    if not khat.shape[-1]:
        return []
    limit = khat_threshold(num_samples)
    high = (khat > limit).to(khat)
    return [
        Grade("khat_high", high.mean(-1), f"test, K={num_samples}, above {limit:.2f}", parts=high)
    ]


def doubts(khat: Tensor, ess: Tensor, num_samples: int) -> tuple[str, ...]:
    """For each run why a bound of importance weights is not to be trusted, "" where it is.

    From k-hat [S, N], or [S, 0] where K is too small for one, and effective samples as a share of K
    [S, N].
    """
    few = for_many(ess * num_samples < FEWEST, f"fewer than {FEWEST} effective samples")
    if not khat.shape[-1]:
        return few
    limit = khat_threshold(num_samples)
    high = for_many(khat > limit, f"k-hat above {limit:.2f}")
    return tuple("; ".join(filter(None, both)) for both in zip(high, few, strict=True))


def _in_bits(subject: Subject, nll: Grade) -> list[Grade]:
    """The NLL in bits per dimension, where the stored image has a probability."""
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
