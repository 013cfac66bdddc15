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
    """Vectors [N, F] together with their squared norms."""
    return Points(x, x.square().sum(-1))


def squared_distances(a: Points, b: Points) -> Tensor:
    """|a - b|^2 of all pairs, up to rounding, which may be below 0: [n, m]."""
    return torch.addmm(b.norms, a.x, b.x.mT, alpha=-2).add_(a.norms[:, None])


def num_at_once(one: Points, b: Points) -> int:
    """How many vectors like `one` have distances to b that fit a cache."""
    return rows_within(CACHE_BYTES, lambda: squared_distances(one, b))


def in_chunks(a: Points, b: Points) -> Iterator[tuple[slice, Points]]:
    """The rows of a in parts whose distances to b fit a cache.

    Write the results of a part into a tensor that was allocated before: small results kept between
    the large temporary ones would make each part take new memory.
    """
    num_rows = num_at_once(Points(a.x[:1], a.norms[:1]), b)
    for first in range(0, len(a.x), num_rows):
        rows = slice(first, first + num_rows)
        yield rows, Points(a.x[rows], a.norms[rows])
