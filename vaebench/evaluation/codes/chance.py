"""Whether a score of a code by known factors is more than what unrelated codes score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vaebench.evaluation.codes.factor_scores import Coded, Numbers

NUM_ORDERS = 10
"""Random orders of the factors, each of which makes them unrelated to the codes."""
TIMES, SPREADS = 2.0, 4.0
"""How far a score must be above what unrelated codes score: twice their mean, and four of their
standard deviations above it."""
ONE_ACTIVE = "one dimension is active, which is complete by definition"

Score = Callable[[Coded, Coded], Numbers]
"""(train, test) -> a score for each factor [F]."""


def no_better_than_chance(
    score: Score, train: Coded, test: Coded, value: float, rng: np.random.Generator
) -> str:
    """Why a mean score should not be trusted, "" where it is well above that of unrelated codes.

    From finite data an estimate of information is above 0 for any code: the more values and the
    fewer images, the more. Where one dimension is active nothing takes that off, as the gap to the
    second best is one to 0.
    """
    scores = [
        float(np.mean(score(_reordered(train, rng), _reordered(test, rng))))
        for _ in range(NUM_ORDERS)
    ]
    mean = float(np.mean(scores))
    if value > max(TIMES * mean, mean + SPREADS * float(np.std(scores, ddof=1))):
        return ""
    return f"the same codes beside factors in random order score {mean:.2g}"


def _reordered(part: Coded, rng: np.random.Generator) -> Coded:
    return replace(part, factors=rng.permutation(part.factors))


def complete_by_definition(train: Coded) -> str:
    """Why the completeness of a code says nothing: it has one dimension that varies."""
    return ONE_ACTIVE if train.codes.any(0).sum() == 1 else ""
