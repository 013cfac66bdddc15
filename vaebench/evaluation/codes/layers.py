"""How much each layer of a hierarchy of latents is used: its rate and its active dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded
from vaebench.models.posteriors import Drawing
from vaebench.models.posteriors.conditionals import Layered
from vaebench.ops import densities
from vaebench.ops.noise import Noise

NUM_SAMPLES = 16
"""Codes of each image that the rates are averaged over."""
LAYER_STREAM = "layers"


def of_layers(model: Graded, x: Tensor, noise: Noise, active: Tensor) -> list[Grade]:
    """Grades of each layer of a model that has some: for images x [N, P], none for one layer.

    `rate_layer_l` is E_q[log q(z_l|.) - log p(z_l|z_l+1)], by which the rate splits; bottom-up it
    may be below 0, where the layer above says more of z_l than the image does. `active_layer_l`
    counts the layer's dimensions that are active [S, D], `collapsed_layer_l` is the share of the
    others.
    """
    dims = model.latent.layer_dims
    if len(dims) < 2:
        return []
    grades = []
    for i, of_layer in enumerate(active.split(dims, -1), 1):
        count = of_layer.sum(-1)
        protocol = f"test, dimensions of layer {i} of {len(dims)}"
        grades += [
            Grade(f"active_layer_{i}", count, protocol, unit="count"),
            Grade(
                f"collapsed_layer_{i}",
                1.0 - count.double() / dims[i - 1],
                f"{protocol} that are not active",
                unit="share of dimensions",
            ),
        ]
    rates = rates_of_layers(model, x, noise.named(LAYER_STREAM))
    for i, rate in enumerate(() if rates is None else rates.unbind(-1), 1):
        protocol = f"test, layer {i} of {len(dims)}, {NUM_SAMPLES} codes of each image"
        grades.append(Grade(f"rate_layer_{i}", rate.mean(-1), protocol, parts=rate, unit="nats"))
    return grades


@torch.no_grad()
def rates_of_layers(
    model: Graded, x: Tensor, noise: Noise, num_samples: int = NUM_SAMPLES
) -> Tensor | None:
    """The rate of each layer for each image: [N, P] -> [S, N, L]; None where posterior or prior has
    one layer. In chunks, which do not show."""
    num_rows = rows_within(bytes_for(x.device), lambda: _rates(model, x[:1], noise, num_samples))
    parts = [
        _rates(model, x[first : first + num_rows], noise.at(row=first), num_samples)
        for first in range(0, len(x), num_rows)
    ]
    known = [part for part in parts if part is not None]
    return torch.cat(known, 1) if known else None


def _rates(model: Graded, x: Tensor, noise: Noise, num_samples: int) -> Tensor | None:
    q = model.posterior(x.expand(model.num_runs, *x.shape))
    if not isinstance(q, Layered):
        return None
    z = q.draw(Drawing(noise, num_samples, densities)).z
    log_p = model.prior().log_prob_of_layers(z)
    if log_p is None:
        return None
    ratios = [q - p for q, p in zip(q.log_prob_of_layers(z), log_p, strict=True)]
    return torch.stack(ratios, -1).mean(0, dtype=torch.float64)
