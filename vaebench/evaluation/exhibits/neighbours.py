"""Drawn examples, and the training examples that are nearest to them."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.data import Images
from vaebench.evaluation.exhibits.entry import can_be_seen, exhibit
from vaebench.evaluation.grading import Subject, with_own_streams
from vaebench.evaluation.samples.drawn import drawn
from vaebench.evaluation.samples.memorised import two_nearest

NUM_DRAWN = 10


@exhibit(
    caption="What is drawn from the model, and the training example that is nearest to each by "
    "squared distance. Pairs that are alike to the detail are copies, not samples; what is blurred "
    "is near to many and copies none.",
    source="Kingma & Welling 2014; Yoon et al. 2023",
    fits=can_be_seen,
    row_names=("sample", "nearest in training"),
)
def neighbours(subject: Subject) -> Tensor:
    """The first examples of the sheet of samples, and the nearest training ones: [S, 2, n, P]."""
    x = drawn(with_own_streams(subject, "samples"), NUM_DRAWN).x
    return torch.stack([x, nearest(x, subject.dataset.train.images)], 1)


def nearest(x: Tensor, train: Images) -> Tensor:
    """The training example that is nearest to each of x [S, n, P]: the same shape."""
    rows = two_nearest(x.flatten(0, 1), train)[:, 0]
    return train[rows].view_as(x)
