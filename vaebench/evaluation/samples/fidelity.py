"""Fidelity and diversity from nearest neighbours in the space of features.

Shapes: features of one model [n, F], of real images [m, F]; all in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.evaluation.samples.intervals import Estimate, jackknife, normal, share
from vaebench.evaluation.samples.neighbours import Points, in_chunks, points, squared_distances

ROUNDING = 1e-12
"""A point this share of the largest squared norm beyond a radius still counts as inside."""


@dataclass(frozen=True)
class Balls:
    """For each image the closed ball up to its k-th nearest neighbour in the same set."""

    centres: Points
    squared_radii: Tensor  # [N]
    wider: Tensor  # [N] once one of the k neighbours is left out
    neighbours: Tensor  # [N, k] rows of the set

    @property
    def num_neighbours(self) -> int:
        """The number of neighbours that a ball reaches, k."""
        return self.neighbours.shape[1]


def balls(features: Tensor, num_neighbours: int) -> Balls:
    """The balls of a set [N, F], N at least k + 2.

    An image is not its own neighbour, but its duplicates are its neighbours.
    """
    centres = points(features)
    squared_radii = torch.empty(2, len(features), dtype=features.dtype)
    neighbours = torch.empty(len(features), num_neighbours, dtype=torch.int64)
    for rows, part in in_chunks(centres, centres):
        distances = squared_distances(part, centres)
        distances.diagonal(rows.start).fill_(torch.inf)
        nearest = distances.topk(num_neighbours + 1, largest=False)
        squared_radii[:, rows] = nearest.values[:, -2:].mT
        neighbours[rows] = nearest.indices[:, :-1]
    squared_radii += ROUNDING * centres.norms.max()
    return Balls(centres, squared_radii[0], squared_radii[1], neighbours)


def compared(real: Balls, ours: Balls) -> dict[str, Estimate]:
    """Precision, recall, density and coverage, [1] each.

    Kynkaanniemi et al. 2019, eq. 1-2: precision is the share of our images in a ball of the real
    ones, recall the share of real ones in a ball of ours. Naeem et al. 2020, section 3: density is
    the number of real balls that an image of ours lies in, over k; coverage the share of real balls
    with an image of ours. The first take a point on the sphere as inside; so do all four here,
    where a ball of duplicates would have no inside otherwise.

    The intervals are the jackknife's, over images of both kinds: a centre that is left out takes
    its ball along, and balls that it was a neighbour of reach the next one.
    """
    of_real, of_ours = _hits(real, ours.centres), _hits(ours, real.centres)
    return {
        "precision": _share_inside(of_real),
        "recall": _share_inside(of_ours),
        "density": _density(of_real, real),
        "coverage": _coverage(of_real, real),
    }


@dataclass(frozen=True)
class Hits:
    """Counts of P points in N balls, by point and by ball."""

    of_points: Tensor  # [P] balls about each
    of_balls: Tensor  # [N] points in each
    of_wider: Tensor  # [N] points in each, once one of its neighbours is left out
    rows: Tensor  # [N] the sum of the rows of the points in each
    inside_without: Tensor  # [N] points in any ball once each centre is left out, less a constant


def _hits(balls: Balls, others: Points) -> Hits:
    of_points = torch.empty(len(others.x), dtype=torch.int32)
    of_balls, of_wider, rows_in, without = torch.zeros(
        4, len(balls.squared_radii), dtype=torch.int64
    )
    for rows, part in in_chunks(others, balls.centres):
        distances = squared_distances(balls.centres, part)  # [N, c]
        inside, in_wider = (
            distances <= squared[:, None] for squared in (balls.squared_radii, balls.wider)
        )
        of_points[rows] = inside.sum(0, dtype=torch.int32)
        of_balls += inside.sum(1)
        of_wider += in_wider.sum(1)
        rows_in += (inside.double() @ torch.arange(len(others.x))[rows].double()).long()
        without += _inside_without(inside, in_wider, of_points[rows], balls.neighbours)
    return Hits(of_points, of_balls, of_wider, rows_in, without)


def _inside_without(
    inside: Tensor, in_wider: Tensor, of_points: Tensor, neighbours: Tensor
) -> Tensor:
    """How many points are in any ball once each centre is left out: bool [N, c] twice -> [N].

    Up to a constant, which no variance sees: those in two balls or more are so whatever centre it
    is, and are not counted. Given how many balls each is in [c].
    """
    kept = of_points > 1
    inside, in_wider = inside[:, ~kept], in_wider[:, ~kept]
    num_balls = of_points[~kept].float() - inside.float()  # [N, c]
    gained = (in_wider & ~inside).float()
    for rows in neighbours.mT:
        num_balls.index_add_(0, rows, gained)
    return (num_balls > 0).sum(1)


def _share_inside(hits: Hits) -> Estimate:
    """The share of points in any ball."""
    inside = (hits.of_points > 0).double()
    num = len(inside)
    variance = jackknife((inside.sum() - inside) / (num - 1))
    variance = variance + jackknife(hits.inside_without.double() / num)
    return share(inside[None], variance[None])


def _density(hits: Hits, real: Balls) -> Estimate:
    """The number of balls about a point, over k."""
    of_balls, total = hits.of_balls.double(), hits.of_points.sum().double()
    num = len(hits.of_points) * real.num_neighbours
    changed = _of_neighbours(hits.of_wider - of_balls, real) - of_balls
    left_out = (total - hits.of_points) / (num - real.num_neighbours)
    variance = jackknife(left_out) + jackknife((total + changed) / num)
    density = normal((total / num)[None], variance[None])
    return Estimate(density.value, density.low.clamp(min=0), density.high)


def _coverage(hits: Hits, real: Balls) -> Estimate:
    """The share of balls with a point."""
    covered = (hits.of_balls > 0).double()
    num, total = len(covered), covered.sum()
    only = hits.rows[hits.of_balls == 1].bincount(minlength=len(hits.of_points))
    changed = _of_neighbours((hits.of_wider > 0).double() - covered, real) - covered
    variance = jackknife((total - only) / num) + jackknife((total + changed) / (num - 1))
    return share(covered[None], variance[None])


def _of_neighbours(values: Tensor, balls: Balls) -> Tensor:
    """For each image the sum over the balls that it is a neighbour of: [N] -> [N]."""
    each = values[:, None].expand_as(balls.neighbours)
    return torch.zeros_like(values).index_add_(0, balls.neighbours.flatten(), each.flatten())
