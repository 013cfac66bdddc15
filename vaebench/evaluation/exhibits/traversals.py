"""What the decoder makes of a code of which one dimension changes."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.evaluation.codes.usage import posterior_means
from vaebench.evaluation.exhibits.entry import can_be_seen, exhibit
from vaebench.evaluation.grading import Graded, Subject

NUM_ENCODED = 256
"""Test examples whose codes say how far a dimension reaches."""
NUM_DIMENSIONS, NUM_STEPS = 8, 7
REACH = (0.02, 0.98)
"""Quantiles of the posterior means of the data, between which a dimension is moved."""


@exhibit(
    caption="In each row, or panel, one dimension of a test example's code moves through the "
    "values that the data take, the others stay; the dimensions that vary most come first. What "
    "does not change is a dimension that the decoder ignores.",
    source="Higgins et al. 2017, figure 2",
    fits=can_be_seen,
)
def traversals(subject: Subject) -> Tensor:
    """E[x|z] along the dimensions that vary most: [S, dimensions, steps, P]."""
    model = subject.model
    x = subject.observations("test")[:NUM_ENCODED]
    paths = _paths(model, posterior_means(model, x, subject.noise))
    z = paths.flatten(1, 2)
    return model.mean_image(z[None], x[:1].expand(*z.shape[:2], -1))[0].unflatten(
        1, paths.shape[1:3]
    )


def _paths(model: Graded, codes: Tensor) -> Tensor:
    """The codes of all rows, given those of the data [S, N, D]: [S, dimensions, steps, D]."""
    if model.prior().entry.discrete:
        return classes(codes, model.latent.num_classes)
    return lines(codes)


def lines(codes: Tensor) -> Tensor:
    """The first code, one dimension at a time replaced by even steps between the quantiles of REACH
    of all codes [S, N, D]; of real codes."""
    chosen = _most_varied(codes.var(1))  # [S, d]
    low, high = codes.quantile(codes.new_tensor(REACH), dim=1)  # [S, D] each
    steps = torch.linspace(0, 1, NUM_STEPS).to(codes)[:, None, None]
    along = (low + steps * (high - low)).movedim(0, -1)  # [S, D, steps]
    values = along.gather(1, chosen[..., None].expand(-1, -1, NUM_STEPS))
    paths = codes[:, :1, None].repeat(1, chosen.shape[1], NUM_STEPS, 1)
    places = chosen[..., None, None].expand(-1, -1, NUM_STEPS, 1)
    return paths.scatter(-1, places, values[..., None])


def classes(codes: Tensor, num_classes: int) -> Tensor:
    """The most likely values of the first code, one variable at a time set to each class; of codes
    of one-hot vectors side by side [S, N, D C]."""
    split = codes.unflatten(-1, (-1, num_classes))
    chosen = _most_varied(split.var(1).sum(-1))  # [S, d]
    num_steps = min(NUM_STEPS, num_classes)
    most_likely = split[:, 0].argmax(-1)  # [S, D]
    paths = most_likely[:, None, None].repeat(1, chosen.shape[1], num_steps, 1)
    steps = torch.arange(num_steps, device=codes.device)[:, None].expand(*paths.shape[:3], 1)
    places = chosen[..., None, None].expand(-1, -1, num_steps, 1)
    values = paths.scatter(-1, places, steps)
    return torch.nn.functional.one_hot(values, num_classes).to(codes).flatten(-2)


def _most_varied(variances: Tensor) -> Tensor:
    """The numbers of the dimensions of most variance [S, D], the most varied first: [S, d]."""
    return variances.argsort(stable=True, dim=-1, descending=True)[:, :NUM_DIMENSIONS]
