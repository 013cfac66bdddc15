"""Distances of all pairs of two sets of vectors, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.evaluation.chunks import CACHE_BYTES, rows_within


class Points(NamedTuple):
    """A set of vectors with their squared norms."""

    x: Tensor  # [N, F]
    norms: Tensor  # [N]


def points(x: Tensor) -> Points:
    """Those of vectors [N, F]."""
    return Points(x, x.square().sum(-1))


def squared_distances(a: Points, b: Points) -> Tensor:
    """|a - b|^2 of all pairs, up to rounding, which may be below 0: [n, m]."""
    return torch.addmm(b.norms, a.x, b.x.mT, alpha=-2).add_(a.norms[:, None])


def in_chunks(a: Points, b: Points) -> Iterator[tuple[slice, Points]]:
    """The rows of a in parts whose distances to b fit a cache.

    What is made of a part belongs into a tensor that was there before: memory of the size of a part
    is otherwise taken anew for each, as what is kept lies between.
    """
    one = Points(a.x[:1], a.norms[:1])
    num_rows = rows_within(CACHE_BYTES, lambda: squared_distances(one, b))
    for first in range(0, len(a.x), num_rows):
        rows = slice(first, first + num_rows)
        yield rows, Points(a.x[rows], a.norms[rows])
