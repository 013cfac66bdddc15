"""Paired permutation tests over seeds, and Holm's correction."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST_EXACT = 14
"""Seeds up to which every pattern of signs is tried."""
NUM_RANDOM = 10_000
AT_ONCE = 32
"""Differences whose sums are held in memory at once."""
TIE = 1e-9
"""Sums as near as this, in parts of the largest, are equal: they are added in other orders."""


def sign_flip_p(d: Array) -> Array:
    """Two-sided p-values of no difference, for paired differences d [..., S]: [...].

    Where two variants do not differ, they could be exchanged at every seed, so every pattern of
    signs of d is as likely (Fisher 1935, "The Design of Experiments", section 21). Exchanged are
    seeds, not examples: those of one seed share its effect. Exact up to MOST_EXACT seeds; beyond,
    the share among random patterns, the seen one with them, which keeps the test valid.
    """
    # Not scipy.stats.permutation_test: its tolerance for ties is a part of the seen sum, so that
    # sums that are equal but for rounding count as different where the seen one is near 0 (0.94 for
    # 1 in the test of ties), and it takes ten times as long at every number of seeds.
    signs = _signs(d.shape[-1]).T
    seen = np.abs(d.sum(-1)) - TIE * np.abs(d).sum(-1)
    p = np.empty(seen.size)
    for first in range(0, len(p), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        sums = np.abs(d.reshape(-1, d.shape[-1])[part] @ signs)  # [AT_ONCE, patterns]
        p[part] = (sums >= seen.reshape(-1, 1)[part]).mean(-1)
    return p.reshape(seen.shape)


def least_p(num_seeds: int) -> float:
    """The least p-value that `sign_flip_p` can give: two of all 2^S patterns."""
    exact: float = 2.0 ** (1 - num_seeds)
    return exact if num_seeds <= MOST_EXACT else 1.0 / NUM_RANDOM


def holm(p: Array) -> Array:
    """Adjusted p-values of a family [..., m] (Holm 1979, "A simple sequentially rejective multiple
    test procedure"): at most 5% of families without a difference have one at 5% or below.

    NaN stays NaN, and is no test of the family.
    """
    order = np.argsort(p, -1)  # NaN last
    ordered = np.take_along_axis(p, order, -1)
    left = np.isfinite(p).sum(-1, keepdims=True) - np.arange(p.shape[-1])
    adjusted = np.minimum(np.maximum.accumulate(ordered * np.maximum(left, 1), -1), 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, -1)
    return result


@functools.lru_cache(4)
def _signs(num_seeds: int) -> Array:
    """Patterns of signs [patterns, S]; the first sign is fixed, as |sum| is the same for -d."""
    if num_seeds <= MOST_EXACT:
        return np.array(
            [(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=num_seeds - 1)]
        )
    drawn = np.random.default_rng(0).choice([1.0, -1.0], (NUM_RANDOM, num_seeds))
    drawn[0] = 1.0
    return drawn
