"""Held-out bounds on log p(x), the same for every variant: rate weight 1, whatever was trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.memory import keep_freed_memory
from vaebench.data import Images
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Graded, runs_alone
from vaebench.evaluation.likelihood.checked import checked_log_px_z
from vaebench.evaluation.likelihood.weights import Weights, khat
from vaebench.models.posteriors import Distribution, Drawing
from vaebench.models.priors import BoundPrior
from vaebench.models.terms import Terms
from vaebench.ops.noise import Noise

IMAGES_AT_ONCE = 8
"""Images of a chunk, at least: the encoder and the prior are prepared once for all of them."""


@dataclass(frozen=True)
class Bounds:
    """Bounds on log p(x) and their parts, for each run and example, in nats."""

    elbo: Tensor  # [S, N]
    nll: Tensor  # [S, N] minus the importance-weighted bound (Burda et al. 2016, eq. 8)
    rate: Tensor  # [S, N]
    distortion: Tensor  # [S, N]
    mean_log_w: Tensor  # [S, N] the ELBO with the rate sampled: nearly exact where q nearly is
    ess: Tensor  # [S, N] effective sample size of the importance weights, as a share of K
    khat: Tensor  # [S, N] their Pareto k-hat, [S, 0] where K is too small for a fit


class Codes(NamedTuple):
    """A few examples with their posterior and the prior."""

    x: Tensor  # [S, B, P]
    q: Distribution
    prior: BoundPrior


@torch.no_grad()
def bounds(
    model: Graded,
    x: Tensor | Images,
    noise: Noise,
    *,
    num_samples: int,
    max_bytes: int | None = None,
    numbers: Tensor | None = None,
    num_rows: int | None = None,
) -> Bounds:
    """Bounds for the images x [N, P] with K samples each, in chunks of examples and samples.

    A sample is a function of its run, example and number, so the chunks do not show in the result.
    A chunk holds about `max_bytes`, whatever K and N are; by default what suits the device.
    `numbers`: those of another q(z|x) than the encoder's, [S, N, R]. `num_rows`: the rows of a
    chunk, as `rows_of_chunk` has counted them for such a model before. Raises InputError where
    log p(x|z) has a wrong shape, or is no probability though it is said to be one.
    """
    keep_freed_memory()
    max_bytes = bytes_for(x.device) if max_bytes is None else max_bytes
    if num_rows is None:
        num_rows = rows_of_chunk(model, x, noise, max_bytes, numbers)
    of_one_run = num_rows * model.num_runs
    if model.num_runs > 1 and of_one_run < num_samples * len(x):
        return _run_by_run(model, x, noise, num_samples, max_bytes, numbers)
    num_images = min(len(x), max(num_rows // num_samples, min(num_rows, IMAGES_AT_ONCE)))
    chunk = max(1, num_rows // num_images)
    parts = []
    for first in range(0, len(x), num_images):
        of_images = slice(first, first + num_images)
        of_q = None if numbers is None else numbers[:, of_images]
        codes = _encoded(model, x[of_images], of_q)
        parts.append(_of_codes(model, codes, noise.at(row=first), num_samples, chunk))
    *fields, largest = (torch.cat(part, dim=-1) for part in zip(*parts, strict=True))
    return Bounds(*(*fields, khat(largest)))


@torch.no_grad()
def rows_of_chunk(
    model: Graded,
    x: Tensor | Images,
    noise: Noise,
    max_bytes: int,
    numbers: Tensor | None = None,
) -> int:
    """How many samples of each run a chunk of `max_bytes` has, counted on one."""
    one = _encoded(model, x[:1], None if numbers is None else numbers[:, :1])
    return rows_within(max_bytes, lambda: _drawn(model, one, noise, 1).log_w)


def _run_by_run(
    model: Graded,
    x: Tensor | Images,
    noise: Noise,
    num_samples: int,
    max_bytes: int,
    numbers: Tensor | None,
) -> Bounds:
    """The same run by run, for runs of many chunks: one's outputs are contiguous, so more fit."""
    each = [
        bounds(
            alone,
            x,
            noise_alone,
            num_samples=num_samples,
            max_bytes=max_bytes,
            numbers=None if numbers is None else numbers[run : run + 1],
        )
        for run, (alone, noise_alone) in enumerate(runs_alone(model, noise))
    ]
    fields = zip(*(vars(of_run).values() for of_run in each), strict=True)
    return Bounds(*(torch.cat(values) for values in fields))


def _of_codes(
    model: Graded, codes: Codes, noise: Noise, num_samples: int, chunk: int
) -> tuple[Tensor, ...]:
    """The fields of Bounds but k-hat for a few examples [S, B], added up in float64; and the
    largest log weights [M + 1, S, B], for k-hat is fitted to those of all examples at once."""
    zero = codes.x.new_zeros(codes.x.shape[:2], dtype=torch.float64)
    weights, distortion, sampled_rate = Weights.before(zero, num_samples), zero, zero
    for terms in _chunks(model, codes, noise, num_samples, chunk):
        weights = weights.after(terms.log_w)
        distortion = distortion - terms.log_px_z.sum(0, dtype=torch.float64) / num_samples
        sampled_rate = sampled_rate - terms.log_ratio.sum(0, dtype=torch.float64) / num_samples
    kl = codes.prior.kl(codes.q)
    rate = sampled_rate if kl is None else kl.double()
    nll = math.log(num_samples) - weights.log_sum
    of_weights = -distortion - sampled_rate, weights.ess(num_samples), weights.largest()
    dtype = model.like.dtype
    return tuple(v.to(dtype) for v in (-distortion - rate, nll, rate, distortion, *of_weights))


def _encoded(model: Graded, x: Tensor, numbers: Tensor | None) -> Codes:
    stacked = x.expand(model.num_runs, *x.shape)
    q = model.posterior(stacked) if numbers is None else model.distribution(numbers)
    return Codes(stacked, q, model.prior())


def _chunks(
    model: Graded, codes: Codes, noise: Noise, num_samples: int, chunk: int
) -> Iterator[Terms]:
    """The terms of K samples, chunk by chunk."""
    for first in range(0, num_samples, chunk):
        yield _drawn(model, codes, noise.at(sample=first), min(chunk, num_samples - first))


def _drawn(model: Graded, codes: Codes, noise: Noise, num_samples: int) -> Terms:
    draw = codes.q.draw(Drawing(noise, num_samples, ops, wanted="log_qz_x"))
    log_px_z = checked_log_px_z(model, codes.x, draw.z)
    return Terms(codes.q, draw.z, log_px_z, codes.prior, drawn=draw)
