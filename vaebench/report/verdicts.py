"""What a pair of variants shows: the words for it, and the one decision that chooses among them."""

from __future__ import annotations

from enum import StrEnum

from vaebench.report.statistics.crossed_design import ALPHA


class Verdict(StrEnum):
    """What is said of two variants, in the words of tables, sentences and figures."""

    DIFFER = "differ"
    MAY_DIFFER = "may differ"
    NOT_TOLD_APART = "are not told apart"
    ONE_SEED = "cannot be told apart by one seed"
    NOT_COMPARED = "are not compared"


OPEN = (Verdict.NOT_TOLD_APART, Verdict.MAY_DIFFER, Verdict.ONE_SEED)
"""Verdicts that leave it open which of two is better."""


def verdict(low: float, high: float, *, num: int, p: float = 0.0) -> Verdict:
    """Decide what the 95% interval `low` to `high` of a difference shows.

    `num`: the seeds, or other blocks, that both variants have and that are compared; 0 where they
    are not compared. `p`: the p-value of no difference once all pairs are allowed for; 0 where the
    interval itself allows for them.
    """
    if num < 1:
        return Verdict.NOT_COMPARED
    if num < 2:
        return Verdict.ONE_SEED
    if not (low > 0.0 or high < 0.0):
        return Verdict.NOT_TOLD_APART
    return Verdict.DIFFER if p <= ALPHA else Verdict.MAY_DIFFER
