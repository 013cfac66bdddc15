"""What the decoder makes of a plane of codes."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.evaluation.exhibits.entry import exhibit
from vaebench.evaluation.grading import Subject

SIDE = 12
NUM_CODES = 2000
"""Codes of the prior whose quantiles the plane is spread by."""


def _of_two_dimensions(subject: Subject) -> bool:
    model = subject.model
    is_discrete = model.prior().entry.discrete
    return subject.dataset.pictured and not is_discrete and codes(subject, 1).shape[-1] == 2


@exhibit(
    caption="The two dimensions of the code from left to right and from bottom to top, at even "
    "quantiles of the prior: neighbours should change smoothly, and the middle is no more than "
    "its share of the data.",
    source="Kingma & Welling 2014, figure 4",
    fits=_of_two_dimensions,
)
def manifold(subject: Subject) -> Tensor:
    """E[x|z] over the plane of a code of two dimensions: [S, 12, 12, P]."""
    model = subject.model
    z = plane(codes(subject, NUM_CODES))
    flat = z.flatten(1, 2)
    x = subject.observations("test")[:1].expand(*flat.shape[:2], -1)
    return model.mean_image(flat[None], x)[0].unflatten(1, (SIDE, SIDE))


def codes(subject: Subject, num: int) -> Tensor:
    """Codes drawn from the prior: [S, num, D]."""
    model = subject.model
    z = model.prior().sample(subject.noise, num, model.latent)
    return z.to(model.like).expand(model.num_runs, -1, -1)


def plane(z: Tensor) -> Tensor:
    """A grid at even quantiles of codes [S, N, 2], the second dimension falling from row to row:
    [S, 12, 12, 2]."""
    shares = (torch.arange(SIDE).to(z) + 0.5) / SIDE
    first, second = z.quantile(shares, dim=1).movedim(0, -1).unbind(1)  # [S, 12] each
    across = first[:, None, :].expand(-1, SIDE, -1)
    upwards = second.flip(-1)[:, :, None].expand(-1, -1, SIDE)
    return torch.stack([across, upwards], -1)
