"""Whether images of a model are copies of training images."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.data import Images
from vaebench.evaluation.samples.neighbours import num_at_once, points, squared_distances

NEARER = 3
"""How many times nearer than the second the nearest training image of a copy is."""


def copies(images: Tensor, train: Images) -> Tensor:
    """Which images [n, P] are less than a third as far from one training image [N, P] as from the
    next: [n], bool.

    Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to memorize". By the
    ratio a blurred image, near to many, is no copy, as it would be by the distance alone. A copy of
    what the training part holds twice is not found.
    """
    rows = two_nearest(images, train)
    nearest = train[rows.flatten()].unflatten(0, rows.shape)  # [n, 2, P]
    exact = (images[:, None] - nearest).double().square().sum(-1).sort(-1).values
    return NEARER**2 * exact[:, 0] < exact[:, 1]


def two_nearest(images: Tensor, train: Images) -> Tensor:
    """Rows of the two nearest training images of each image, up to rounding: [n, 2]."""
    ours = points(images)
    distances = images.new_full((2, len(images)), torch.inf)
    nearest = torch.zeros(2, len(images), dtype=torch.int64)
    num_rows = num_at_once(points(train[:1]), ours)
    for start in range(0, len(train), num_rows):
        remaining = squared_distances(points(train[start : start + num_rows]), ours)
        for _ in range(2):
            candidate = remaining.min(0)
            remaining.scatter_(0, candidate.indices[None], torch.inf)
            _insert(distances, nearest, candidate.values, candidate.indices + start)
    return nearest.mT


def _insert(distances: Tensor, nearest: Tensor, values: Tensor, rows: Tensor) -> None:
    """Put a candidate for each image [n] in order among the two nearest [2, n]."""
    for rank in range(2):
        nearer = values < distances[rank]
        held, held_rows = distances[rank].clone(), nearest[rank].clone()
        distances[rank] = torch.where(nearer, values, held)
        nearest[rank] = torch.where(nearer, rows, held_rows)
        values, rows = torch.where(nearer, held, values), torch.where(nearer, held_rows, rows)
