"""Fidelity and diversity from nearest neighbours in the space of features.

Shapes: features of one model [n, F], of real images [m, F]; all in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.evaluation.chunks import CACHE_BYTES, rows_within
from vaebench.evaluation.samples.intervals import Estimate, mean, share

ROUNDING = 1e-12
"""Of the largest squared norm: a distance within it of a radius lies on the sphere."""


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


@dataclass(frozen=True)
class Balls:
    """Around each image, the closed ball that reaches its k-th nearest neighbour of its own set."""

    centres: Points
    squared_radii: Tensor  # [N]
    num_neighbours: int


def balls(features: Tensor, num_neighbours: int) -> Balls:
    """The balls of a set [N, F]; an image is no neighbour of its own, its duplicates are."""
    centres = points(features)
    squared_radii = torch.empty_like(centres.norms)
    for rows, part in in_chunks(centres, centres):
        distances = squared_distances(part, centres)
        nearest = distances.topk(num_neighbours + 1, largest=False, sorted=False).values
        squared_radii[rows] = nearest.amax(1)
    return Balls(centres, squared_radii + ROUNDING * centres.norms.max(), num_neighbours)


def compared(real: Balls, ours: Balls) -> dict[str, Estimate]:
    """Precision, recall, density and coverage, [1] each.

    Kynkaanniemi et al. 2019, eq. 1-2: precision is the share of our images in a ball of the real
    ones, recall the share of real ones in a ball of ours. Naeem et al. 2020, section 3: density is
    the number of real balls that an image of ours lies in, over k; coverage the share of real balls
    with an image of ours. The first take a point on the sphere as inside; so do all four here,
    where a ball of duplicates would have no inside otherwise.

    The intervals are over the images that the mean is of: ours for precision and density, real ones
    for recall and coverage; the balls are taken as given.
    """
    num_balls = torch.zeros(len(ours.squared_radii), dtype=torch.int64)
    recalled, covered = (torch.empty(len(real.squared_radii), dtype=torch.bool) for _ in range(2))
    for rows, part in in_chunks(real.centres, ours.centres):
        distances = squared_distances(part, ours.centres)
        inside = distances <= real.squared_radii[rows, None]
        num_balls += inside.sum(0)
        covered[rows] = inside.any(1)
        recalled[rows] = (distances <= ours.squared_radii).any(1)
    return {
        "precision": share(num_balls[None] > 0),
        "recall": share(recalled[None]),
        "density": mean(num_balls[None].double() / real.num_neighbours),
        "coverage": share(covered[None]),
    }
