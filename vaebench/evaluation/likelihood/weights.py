"""How far importance weights can be trusted: effective sample size and Pareto k-hat.

Shapes: K samples, S runs, B examples, M weights of the tail; log weights [K, S, B].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaebench.evaluation.samples.intervals import jackknife

LEAST_TAIL = 5
"""Weights that a tail is fitted to, at least, as in the authors' package loo: K = 25 has them."""
FLAT = 1e-3
"""Spread of the tail, relative to the largest weight, up to which all weights count as equal. In
float32 a log weight of some hundred nats is rounded by 1e-4."""
SORTED_OUT = 5
"""Tails of log weights that are held at most before the largest are sorted out."""
PIECE = 1 << 19
"""Numbers of a fit at once: many enough that starting an operation does not show."""
PRIOR_SIZE, PRIOR_SHAPE = 10, 0.5
"""The weak prior of PSIS on k: as strong as ten weights, around a half."""
DOUBTFUL = 0.05
"""Share of examples with a doubtful bound above which the mean is doubted. Fewer examples move it
less than the choice of images does."""


def for_many(hits: Tensor, what: str) -> tuple[str, ...]:
    """For each run the share of examples that are hit, in words; "" where it is small.

    `hits`: bool [S, N].
    """
    shares = hits.double().mean(-1).tolist()
    return tuple(f"{what} for {share:.0%} of the examples" * (share > DOUBTFUL) for share in shares)


def tail_size(num_samples: int) -> int:
    """M, the number of largest weights that k-hat is of: min(K / 5, 3 sqrt K), 0 where below 5.

    Vehtari et al. 2024, "Pareto smoothed importance sampling", section 3.
    """
    size = int(min(num_samples / 5, 3 * math.sqrt(num_samples)))
    return size if size >= LEAST_TAIL else 0


def khat_threshold(num_samples: int) -> float:
    """min(1 - 1 / log10 K, 0.7), above which K samples are too few for the k-hat at hand.

    Vehtari et al. 2024, section 3.2.4, eq. 13.
    """
    return min(1.0 - 1.0 / math.log10(num_samples), 0.7)


@dataclass(frozen=True)
class Weights:
    """Sums and largest values of log weights that come chunk by chunk; the sums are in float64."""

    log_sum: Tensor  # [S, B]
    log_sum_of_squares: Tensor  # [S, B]
    num_kept: int
    """M + 1, or 0 where there is no tail to fit."""
    tail: tuple[Tensor, ...] = ()  # [k, S, B] each: the M + 1 largest are among them

    @staticmethod
    def before(zero: Tensor, num_samples: int) -> Weights:
        """The state before the first of K samples, from zeros [S, B]."""
        size = tail_size(num_samples)
        return Weights(zero - math.inf, zero - math.inf, size + 1 if size else 0)

    def after(self, log_w: Tensor) -> Weights:
        """The same with more log weights [k, S, B] taken in."""
        exact = log_w.double()
        return Weights(
            torch.logaddexp(self.log_sum, torch.logsumexp(exact, 0)),
            torch.logaddexp(self.log_sum_of_squares, torch.logsumexp(2.0 * exact, 0)),
            self.num_kept,
            self._tail_with(log_w) if self.num_kept else (),
        )

    def _tail_with(self, log_w: Tensor) -> tuple[Tensor, ...]:
        """The kept weights with more; cut to the largest ones now and then, as that takes time."""
        with_it = replace(self, tail=(*self.tail, log_w))
        many = sum(map(len, with_it.tail)) > SORTED_OUT * self.num_kept
        return (with_it.largest(),) if many else with_it.tail

    def largest(self) -> Tensor:
        """The M + 1 largest in descending order [M + 1, S, B], or [0, S, B] where none are kept."""
        if not self.num_kept:
            return self.log_sum[None][:0]
        return torch.cat(self.tail).topk(self.num_kept, dim=0).values

    def ess(self, num_samples: int) -> Tensor:
        """Effective sample size (sum w)^2 / sum w^2 as a share of K: [S, B], from 1 / K to 1."""
        return torch.exp(2.0 * self.log_sum - self.log_sum_of_squares) / num_samples


def log_mean_variance(log_w: Tensor) -> Tensor:
    """The sampling variance of L = log (1/K) sum_k w_k, by the jackknife: [K, S, B] -> [S, B].

    (K - 1) / K sum_k (L_k - mean L_k)^2 with L_k = log 1/(K - 1) sum_{j != k} w_j, for independent
    samples. Where weights are nearly even it is that of the delta method, (K / ESS - 1) / (K - 1).
    NaN for one sample. Each sum is made of those before and after k: no digits go in a difference.
    """
    if len(log_w) < 2:
        return torch.full_like(log_w[0], math.nan)
    nothing = torch.full_like(log_w[:1], -math.inf)
    before = torch.cat([nothing, log_w[:-1].logcumsumexp(0)])
    after = torch.cat([log_w[1:].flip(0).logcumsumexp(0).flip(0), nothing])
    return jackknife(torch.logaddexp(before, after) - math.log(len(log_w) - 1))


def khat(largest: Tensor) -> Tensor:
    """Pareto k-hat of the M + 1 largest log weights [M + 1, S, B], in descending order: [S, B].

    The shape of a generalised Pareto law of the M weights less the next one, drawn towards 1/2 as
    PSIS does (Vehtari et al. 2024). -inf where they are equal: such weights have no tail. [S, 0] of
    none, where K is too small for a fit.
    """
    if not len(largest):
        return largest.new_empty(largest.shape[1], 0)
    relative = torch.exp(largest - largest[:1])
    excess = (relative[:-1] - relative[-1:]).flatten(1)
    flat = excess[0] <= FLAT
    excess = torch.where(flat, 1.0, excess)
    size = len(excess)
    at_once = max(1, PIECE // (size * _num_candidates(size)))
    shape = torch.cat([pareto_shape(piece) for piece in excess.split(at_once, 1)])
    drawn = (size * shape + PRIOR_SIZE * PRIOR_SHAPE) / (size + PRIOR_SIZE)
    return torch.where(flat, -math.inf, drawn).view(largest.shape[1:])


def pareto_shape(excess: Tensor) -> Tensor:
    """k of a generalised Pareto law for values above 0 [M, R], in descending order: [R].

    Zhang & Stephens 2009, "A new and efficient estimation method for the generalized Pareto
    distribution", in the signs of Vehtari et al. 2024: a larger k has a heavier tail. The mean of
    theta = -k / sigma over a grid, weighted by the profile likelihood.
    """
    theta = _candidates(excess)
    shape = _shape(theta, excess)
    log_likelihood = len(excess) * (torch.log(-theta / shape) - shape - 1.0)
    mean = (theta * log_likelihood.softmax(0)).sum(0, keepdim=True)
    return _shape(mean, excess)[0]


def _num_candidates(size: int) -> int:
    return 30 + int(math.sqrt(size))


def _candidates(excess: Tensor) -> Tensor:
    """The grid of theta, around the largest value and the lower quartile: [m, R]."""
    size, num = len(excess), _num_candidates(len(excess))
    ranks = torch.arange(1, num + 1, dtype=excess.dtype, device=excess.device) - 0.5
    spread = 1.0 - torch.sqrt(num / ranks)
    # Tied weights, as of discrete codes, may leave the quartile at 0.
    quartile = excess[size - 1 - int(size / 4 - 0.5)].clamp_min(1e-30)
    return 1.0 / excess[0] + spread[:, None] / (3.0 * quartile)


def _shape(theta: Tensor, excess: Tensor) -> Tensor:
    """The best k at each theta: [m, R], [M, R] -> [m, R]."""
    return (-theta[:, None] * excess).log1p_().mean(1)
