"""What the decoder makes of a code of which one dimension changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaebench.evaluation.codes.usage import posterior_means
from vaebench.evaluation.exhibits.entry import can_be_seen, exhibit
from vaebench.evaluation.grading import Graded, Subject

NUM_ENCODED = 256
"""Test examples whose codes say how far a dimension reaches."""
NUM_DIMENSIONS, NUM_STEPS = 8, 7
MOST_DIMENSIONS = 1024
"""Codes of more are not drawn: each dimension is tried, by whole codes, so that the work grows with
their square."""
REACH = (0.02, 0.98)
"""Quantiles of the posterior means of the data, between which a dimension is moved."""


def _can_be_tried(subject: Subject) -> bool:
    return can_be_seen(subject) and subject.model.latent.dim <= MOST_DIMENSIONS


@exhibit(
    caption="In each row, or panel, one dimension of a test example's code moves through the "
    "values that the data take, the others stay; the dimensions that change most of the example "
    "come first. What does not change is a dimension that the decoder ignores. Layers of latents "
    "below a dimension follow it, at the prior's mean given the layer above.",
    source="Higgins et al. 2017, figure 2",
    fits=_can_be_tried,
)
def traversals(subject: Subject) -> Tensor:
    """E[x|z] along the dimensions that change it most: [S, dimensions, steps, P]."""
    model = subject.model
    x = subject.observations("test")[:NUM_ENCODED]
    codes = posterior_means(model, x, subject.noise)
    move, prior = _mover(model), model.prior()

    def decoded(dimension: int) -> Tensor:
        """E[x|z] along one dimension: [S, steps, P]."""
        which = torch.full((model.num_runs,), dimension, device=codes.device)
        z = prior.followed(move(codes, which)[None], dimension)
        return model.mean_image(z, x[:1].expand(*z.shape[1:3], -1))[0]

    num = codes.shape[-1] // _width(model)
    images = torch.stack([decoded(dimension) for dimension in range(num)], 1)
    changes = images.var(2).sum(-1)  # [S, D]
    most = changes.argsort(stable=True, dim=-1, descending=True)[:, :NUM_DIMENSIONS]
    return images.gather(1, most[..., None, None].expand(-1, -1, *images.shape[2:]))


def _width(model: Graded) -> int:
    """The numbers of a code that are moved together."""
    return model.latent.num_classes if model.prior().entry.discrete else 1


def _mover(model: Graded) -> Callable[[Tensor, Tensor], Tensor]:
    """The function that moves one dimension of the codes of each run."""
    return partial(classes, _width(model)) if model.prior().entry.discrete else line


def line(codes: Tensor, which: Tensor) -> Tensor:
    """The first code of the data [S, N, D], one dimension of each run, `which` [S], replaced by
    even steps between the quantiles of REACH of all codes: [S, steps, D]."""
    values = codes.gather(-1, which[:, None, None].expand(-1, codes.shape[1], 1))[..., 0]
    low, high = values.quantile(codes.new_tensor(REACH), dim=1)  # [S] each
    steps = torch.linspace(0, 1, NUM_STEPS).to(codes)
    moved = low[:, None] + steps * (high - low)[:, None]
    path = codes[:, :1].repeat(1, NUM_STEPS, 1)
    return path.scatter(-1, which[:, None, None].expand(-1, NUM_STEPS, 1), moved[..., None])


def classes(num_classes: int, codes: Tensor, which: Tensor) -> Tensor:
    """The most likely values of the first code, one variable of each run, `which` [S], set to each
    class; of codes of one-hot vectors side by side [S, N, D C]: [S, steps, D C]."""
    values = codes[:, 0].unflatten(-1, (-1, num_classes)).argmax(-1)  # [S, D]
    num_steps = min(NUM_STEPS, num_classes)
    path = values[:, None].repeat(1, num_steps, 1)
    steps = torch.arange(num_steps, device=codes.device)[:, None].expand(len(codes), -1, 1)
    path = path.scatter(-1, which[:, None, None].expand(-1, num_steps, 1), steps)
    return one_hot(path, num_classes).to(codes).flatten(-2)
