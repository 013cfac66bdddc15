"""Objectives of the layers of a hierarchy of latents, each with a rate of its own."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.terms import Terms
from vaebench.objectives.entry import SameAs, objective


@objective(
    source="Kingma et al. 2016, appendix C.8, eq. 15, with a layer of latents as a group",
    bound="lower",
    same_as=(
        SameAs("elbo", at={"floor": 0.0}, exact=False),
        SameAs("free_bits_per_group", at={"floor": 0.3}, other_at={"floor": 0.3}),
    ),
    of_batch=True,
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \sum_{l=1}^{L} \max\left( \lambda, \frac{1}{B} "
        r"\sum_{b=1}^{B} \mathcal{R}_{bl} \right), \qquad \lambda = \text{floor}",
        wrong_when="With a posterior whose KL has no closed form given the layer above, as the "
        "bottom-up one. A layer at its floor has no gradient of its rate at all.",
    ),
)
def free_bits_per_layer(
    t: Terms, *, floor: Annotated[Scalar, Hyper((0.01, 2.0), log=True, low=0.0)] = 0.5
) -> Tensor:
    """Distortion plus the batch's mean rate of each layer, at least `floor` nats each: [S, B] nats.

    Keeps upper layers of a ladder alive while the lower ones learn. Of one layer it is the floor of
    the whole rate.
    """
    rates = t.rate_of_layers.mean(-1, keepdim=True)
    least = torch.as_tensor(floor, dtype=rates.dtype, device=rates.device)
    return t.distortion + torch.maximum(rates, least).sum(0)
