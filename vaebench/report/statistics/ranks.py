"""Ranks: groups that share one, and mean ranks over blocks with their critical difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaebench.report.statistics.crossed_design import ALPHA

FEWEST_VARIANTS, FEWEST_BLOCKS = 3, 6
"""Friedman's chi-squared is no guide below."""


def leaders(
    num: int,
    differ: Callable[[int, int], bool],
    compared: Callable[[int, int], bool] = lambda i, j: True,
) -> list[int]:
    """Put `num` variants, in order of their means, into groups: for each the first of its group.

    "Not told apart" is not transitive, so groups are a convention. Here: from the best down, a
    group holds those that do not `differ` from its first, until one does; that one is the first of
    the next. So a shared rank says "not told apart from the first that has it", and no more. A
    variant is held against the last first that it is `compared` with, which is the last where all
    are; one that is compared with none is the first of a group of its own.
    """
    firsts: list[int] = []
    groups: list[int] = []
    for i in range(num):
        nearest = next((first for first in reversed(firsts) if compared(i, first)), None)
        if nearest is None or differ(i, nearest):
            firsts.append(i)
            nearest = i
        groups.append(nearest)
    return groups


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks of variants over blocks, 1 is best."""

    ranks: NDArray[np.float64]  # [variants]
    num_blocks: int
    p: float
    """The p-value of Friedman's test that all have the same mean rank."""
    critical_difference: float
    """Nemenyi's: mean ranks up to this far apart are not told apart at 5% over all pairs."""


def mean_ranks(losses: NDArray[np.float64]) -> MeanRanks | None:
    """Rank losses [blocks, variants] in each block, the lowest first, and average the ranks; None
    for too few blocks or variants.

    Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", section 3.2.2.
    """
    from scipy import stats

    num_blocks, num = losses.shape
    if num < FEWEST_VARIANTS or num_blocks < FEWEST_BLOCKS:
        return None
    ranks = stats.rankdata(losses, axis=1).mean(0)
    alike = bool((losses == losses[:, :1]).all())
    p = 1.0 if alike else float(stats.friedmanchisquare(*losses.T).pvalue)
    quantile = float(stats.studentized_range.ppf(1 - ALPHA, num, np.inf)) / 2**0.5
    critical = quantile * (num * (num + 1) / (6 * num_blocks)) ** 0.5
    return MeanRanks(ranks, num_blocks, p, critical)
