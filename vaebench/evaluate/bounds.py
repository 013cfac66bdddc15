"""Held-out bounds on log p(x), the same for every variant: rate weight 1, whatever was trained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench import kernels
from vaebench.evaluate.chunks import bytes_for, rows_within
from vaebench.evaluate.grading import Graded
from vaebench.memory import keep_freed_memory
from vaebench.noise import Noise
from vaebench.posteriors import Distribution
from vaebench.priors import BoundPrior
from vaebench.terms import Terms

IMAGES_AT_ONCE = 8
"""Images of a chunk, at least: the encoder and the prior are prepared once for all of them."""


@dataclass(frozen=True)
class Bounds:
    """Per run and example, in nats."""

    elbo: Tensor  # [S, N]
    nll: Tensor  # [S, N] minus the importance-weighted bound (Burda et al. 2016, eq. 8)
    rate: Tensor  # [S, N]
    distortion: Tensor  # [S, N]


class Codes(NamedTuple):
    """Where the codes of a few examples come from, and what they are weighed by."""

    x: Tensor  # [S, B, P]
    q: Distribution
    prior: BoundPrior


@torch.no_grad()
def bounds(
    model: Graded, x: Tensor, noise: Noise, *, num_samples: int, max_bytes: int | None = None
) -> Bounds:
    """Bounds for the images x [N, P] with K samples each, in chunks of examples and samples.

    A sample is a function of its run, example and number, so the chunks do not show in the result.
    A chunk holds about `max_bytes`, whatever K and N are; by default what suits the device.
    """
    keep_freed_memory()
    one = _encoded(model, x[:1])
    max_bytes = bytes_for(x.device) if max_bytes is None else max_bytes
    num_rows = rows_within(max_bytes, lambda: _drawn(model, one, noise, 1).log_w)
    of_one_run = num_rows * model.num_runs
    if model.num_runs > 1 and of_one_run < num_samples * len(x):
        return _run_by_run(model, x, noise, num_samples, max_bytes)
    num_images = min(len(x), max(num_rows // num_samples, min(num_rows, IMAGES_AT_ONCE)))
    chunk = max(1, num_rows // num_images)
    parts = [
        _of_images(model, x[first : first + num_images], noise.at(row=first), num_samples, chunk)
        for first in range(0, len(x), num_images)
    ]
    return Bounds(*(torch.cat(part, dim=-1) for part in zip(*parts, strict=True)))


def _run_by_run(model: Graded, x: Tensor, noise: Noise, num_samples: int, max_bytes: int) -> Bounds:
    """Where even a run takes many chunks: its outputs lie side by side, and more fit at once."""
    each = [
        bounds(
            model.of_run(run),
            x,
            replace(noise, keys=noise.keys[run : run + 1]),
            num_samples=num_samples,
            max_bytes=max_bytes,
        )
        for run in range(model.num_runs)
    ]
    fields = zip(*(vars(found).values() for found in each), strict=True)
    return Bounds(*(torch.cat(values) for values in fields))


def _of_images(
    model: Graded, x: Tensor, noise: Noise, num_samples: int, chunk: int
) -> tuple[Tensor, ...]:
    """elbo, nll, rate and distortion of a few examples [S, B], added up in float64."""
    codes = _encoded(model, x)
    zero = x.new_zeros(model.num_runs, len(x), dtype=torch.float64)
    log_weight, distortion, rate = zero - math.inf, zero, zero
    for terms in _chunks(model, codes, noise, num_samples, chunk):
        log_weight = torch.logaddexp(log_weight, torch.logsumexp(terms.log_w.double(), 0))
        distortion = distortion - terms.log_px_z.sum(0, dtype=torch.float64) / num_samples
        rate = rate - terms.log_ratio.sum(0, dtype=torch.float64) / num_samples
    kl = codes.prior.kl(codes.q)
    rate = rate if kl is None else kl.double()
    nll = math.log(num_samples) - log_weight
    dtype = model.like.dtype
    return tuple(v.to(dtype) for v in (-distortion - rate, nll, rate, distortion))


def _encoded(model: Graded, x: Tensor) -> Codes:
    stacked = x.expand(model.num_runs, *x.shape)
    return Codes(stacked, model.posterior(stacked), model.prior())


def _chunks(
    model: Graded, codes: Codes, noise: Noise, num_samples: int, chunk: int
) -> Iterator[Terms]:
    """K samples, a chunk at a time."""
    for first, last in itertools.pairwise([*range(0, num_samples, chunk), num_samples]):
        yield _drawn(model, codes, noise.at(sample=first), last - first)


def _drawn(model: Graded, codes: Codes, noise: Noise, num_samples: int) -> Terms:
    draw = codes.q.draw(noise, num_samples, kernels, relaxed=False, wanted="log_qz_x")
    log_px_z = model.log_px_z(codes.x, draw.z)
    return Terms(codes.q, draw.z, log_px_z, codes.prior, drawn=draw)
