"""Held-out bounds on log p(x), the same for every variant: rate weight 1, whatever was trained."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.terms import compute_terms

MAX_ELEMENTS = 1 << 22
"""Largest intermediate tensor: 16 MiB in float32, so that memory does not grow with K or N."""
MAX_ROWS = 512


@dataclass(frozen=True)
class Bounds:
    """Per run and example, in nats."""

    elbo: Tensor  # [S, N]
    nll: Tensor  # [S, N] minus the importance-weighted bound (Burda et al. 2016, eq. 8)
    rate: Tensor  # [S, N]
    distortion: Tensor  # [S, N]


@torch.no_grad()
def bounds(
    model: VAE,
    x: Tensor,
    noise: Noise,
    *,
    num_samples: int,
    max_elements: int = MAX_ELEMENTS,
) -> Bounds:
    """Bounds for the images x [N, P] with K samples each, in chunks of examples and samples.

    A sample is a function of its run, example and number, so the chunks do not show in the result.
    """
    width = model.num_runs * max(p.shape[-1] for p in model.parameters())
    num_rows = max(1, min(MAX_ROWS, len(x), max_elements // width))
    chunk = max(1, min(num_samples, max_elements // (width * num_rows)))
    parts = [
        _rows(model, x[first : first + num_rows], noise.at(row=first), num_samples, chunk)
        for first in range(0, len(x), num_rows)
    ]
    return Bounds(*(torch.cat(part, dim=-1) for part in zip(*parts, strict=True)))


def _rows(
    model: VAE, x: Tensor, noise: Noise, num_samples: int, chunk: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """elbo, nll, rate and distortion of a few examples: [S, B] each."""
    stacked = x.expand(model.num_runs, *x.shape)
    log_weights, distortions, rates = [], [], []
    for first, last in itertools.pairwise([*range(0, num_samples, chunk), num_samples]):
        terms = compute_terms(
            model,
            stacked,
            noise.at(sample=first),
            num_samples=last - first,
        )
        log_weights.append(torch.logsumexp(terms.log_w, 0))
        distortions.append(-terms.log_px_z.sum(0))
        rates.append(terms.kl_or_estimate * (last - first))
    distortion = torch.stack(distortions).sum(0) / num_samples
    rate = torch.stack(rates).sum(0) / num_samples
    nll = math.log(num_samples) - torch.logsumexp(torch.stack(log_weights), 0)
    return -distortion - rate, nll, rate, distortion
