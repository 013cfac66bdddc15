"""The kernel distance: the squared maximum mean discrepancy with a cubic kernel, without bias.

Shapes: features of one model [n, F], of real images [m, F]; all in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vaebench.evaluation.chunks import CACHE_BYTES, rows_within
from vaebench.evaluation.samples.intervals import Estimate, jackknife, normal


@dataclass(frozen=True)
class Kernels:
    """Features, and the sum of each one's kernel values with the others."""

    features: Tensor  # [m, F]
    sums: Tensor  # [m]


def kernels_of(features: Tensor) -> Kernels:
    """The sums within one set [m, F], each without the feature itself."""
    with_itself = _cubic((features.square().sum(-1)) / features.shape[-1])
    return Kernels(features, _sums(features, features)[0] - with_itself)


def kid(real: Kernels, ours: Kernels) -> Estimate:
    """The kernel distance of Binkowski et al. 2018 over all pairs, not over blocks of them.

    The unbiased estimate of MMD^2 (Gretton et al. 2012, lemma 6) with k(x, y) = (x.y / F + 1)^3;
    it may be below 0. The interval is the jackknife's, over images of both kinds. Shapes [1].
    """
    across, down = _sums(ours.features, real.features)
    total = across.sum()
    n, m = len(across), len(down)
    within = _mean_of_pairs(ours.sums.sum(), n) + _mean_of_pairs(real.sums.sum(), m)
    value = within - 2 * total / (n * m)
    variance = _variance(ours.sums, across, m) + _variance(real.sums, down, n)
    return normal(value[None], variance[None])


def _variance(within: Tensor, across: Tensor, num_others: int) -> Tensor:
    """The variance [] that is due to one of the sets: each of its images left out once.

    From the sums of each image with its own set [n], and with the other set [n].
    """
    num = len(within)
    inside = _mean_of_pairs(within.sum() - 2 * within, num - 1)
    other = (across.sum() - across) / ((num - 1) * num_others)
    return jackknife(inside - 2 * other)


def _mean_of_pairs(total: Tensor, num: int) -> Tensor:
    return total / (num * (num - 1))


def _sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel values of all pairs, summed for each row of x [n] and of y [m]; chunk by chunk."""
    across, down = x.new_empty(len(x)), y.new_zeros(len(y))
    num_rows = rows_within(CACHE_BYTES, lambda: _kernel(x[:1], y))
    for first in range(0, len(x), num_rows):
        rows = slice(first, first + num_rows)
        values = _kernel(x[rows], y)
        across[rows] = values.sum(1)
        down += values.sum(0)
    return across, down


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return _cubic(x @ y.mT / x.shape[-1])


def _cubic(products: Tensor) -> Tensor:
    base = products + 1
    return base * base * base  # pow(3) takes five times as long
