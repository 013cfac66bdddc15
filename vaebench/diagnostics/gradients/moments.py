"""Moments of R replicas of a gradient, and the figures computed from them.

Shapes: R replicas in G blocks, n parameters of one side, J directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_BLOCKS = 8
"""Blocks of replicas, each left out in turn for a standard error (the grouped jackknife)."""


class Moments:
    """Sums over replicas, which come a few at a time and are not kept; in float64."""

    def __init__(self, directions: Tensor) -> None:
        num_parameters = directions.shape[0]
        self.directions = directions  # [n, J] of norm 1
        self.num = torch.zeros(NUM_BLOCKS, dtype=torch.float64, device=directions.device)
        self.total = self.num.new_zeros(NUM_BLOCKS, num_parameters)
        self.squares = self.num.new_zeros(NUM_BLOCKS, num_parameters)
        self._along: list[Tensor] = []
        self._squared_norms: list[Tensor] = []
        self._summaries: dict[int | None, Summary] = {}

    def add(self, gradients: Tensor) -> None:
        """Add replicas to the sums: [R, n]."""
        first = int(self.num.sum())
        block = torch.arange(first, first + len(gradients), device=self.num.device) % NUM_BLOCKS
        exact = gradients.double()
        self._summaries.clear()
        self.num.index_add_(0, block, torch.ones_like(block, dtype=torch.float64))
        self.total.index_add_(0, block, exact)
        self.squares.index_add_(0, block, exact.square())
        self._along.append(exact @ self.directions)
        self._squared_norms.append(exact.square().sum(1))

    @property
    def along(self) -> Tensor:
        """Each replica's component along each direction: [R, J]."""
        return torch.cat(self._along)

    @property
    def squared_norms(self) -> Tensor:
        """The squared norm of each replica's gradient: [R]."""
        return torch.cat(self._squared_norms)

    def summary(self, without: int | None = None) -> Summary:
        """Mean and variance over the replicas, or over those of all blocks but one."""
        if without not in self._summaries:
            self._summaries[without] = self._summed_up(without)
        return self._summaries[without]

    def _summed_up(self, without: int | None) -> Summary:
        kept = [b for b in range(NUM_BLOCKS) if b != without]
        num = float(self.num[kept].sum())
        mean = self.total[kept].sum(0) / num
        variance = (self.squares[kept].sum(0) / num - mean.square()) * num / (num - 1.0)
        return Summary(num, mean, variance.clamp_min(0.0))


@dataclass(frozen=True)
class Summary:
    """The estimated mean and variance of each parameter's gradient."""

    num: float
    mean: Tensor  # [n]
    variance: Tensor  # [n] without bias

    @property
    def is_finite(self) -> bool:
        return bool(self.mean.isfinite().all() and self.variance.isfinite().all())

    @property
    def noise(self) -> float:
        """The trace of the covariance: E||g - E g||^2."""
        return float(self.variance.sum())

    @property
    def squared_signal(self) -> float:
        """||E g||^2, without the noise that the mean of R replicas still has: may be below 0."""
        return float(self.mean.square().sum()) - self.noise / self.num


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error over the replicas."""

    value: float
    standard_error: float


def estimate(moments: Moments, figure: Callable[[Summary], float]) -> Estimate:
    """A function of the moments, with its error by the grouped jackknife."""
    parts = [figure(moments.summary(without=block)) for block in range(NUM_BLOCKS)]
    middle = sum(parts) / NUM_BLOCKS
    spread = sum((part - middle) ** 2 for part in parts) if math.isfinite(middle) else math.inf
    error = math.sqrt(spread * (NUM_BLOCKS - 1) / NUM_BLOCKS)
    return Estimate(figure(moments.summary()), error)


def snr_of_parameters(s: Summary) -> float:
    """The mean over parameters of |E g_i| / sd(g_i) (Rainforth et al. 2018, eq. 5).

    Without those that are never moved. Pure noise has sqrt(2 / (pi R)): |mean| is not corrected.
    """
    moved = (s.variance > 0) | (s.mean != 0)
    ratios = s.mean[moved].abs() / s.variance[moved].sqrt()
    return float(ratios.mean()) if len(ratios) else math.nan


def snr_of_vector(s: Summary) -> float:
    """||E g|| / sqrt(E||g - E g||^2), the noise in the mean taken off; 0 where nothing is left.

    Averaging m gradients makes it sqrt(m) times as large.
    """
    signal = max(0.0, s.squared_signal)
    if s.noise == 0.0:
        return math.inf if signal else math.nan
    return math.sqrt(signal / s.noise)


def directional_snr(moments: Moments, direction: int) -> Estimate:
    """E[ |g_par| / ||g_orth|| ], parts of g along the mean gradient and orthogonal to it.

    The DSNR of Rainforth et al. 2018. The direction is column `direction`, estimated from other
    replicas: from its own, every g would lean towards it.
    """
    parallel = moments.along[:, direction]
    orthogonal = (moments.squared_norms - parallel.square()).clamp_min(0.0).sqrt()
    ratios = parallel.abs() / orthogonal
    return Estimate(float(ratios.mean()), float(ratios.std()) / math.sqrt(len(ratios)))


def bias_t(ours: Moments, theirs: Moments) -> Tensor:
    """Student's t of the difference of the two means along each direction they share: [J].

    Welch's, of independent replicas. 0 where neither has any variance and both agree.
    """
    difference = ours.along.mean(0) - theirs.along.mean(0)
    squared_error = _squared_error(ours.along) + _squared_error(theirs.along)
    t = difference / squared_error.sqrt()
    return torch.where((difference == 0) & (squared_error == 0), torch.zeros_like(t), t)


def _squared_error(values: Tensor) -> Tensor:
    return values.var(0) / len(values)


def distance(s: Summary, other: Summary) -> float:
    """||E g - E other|| / ||E other||, the noise of both means taken off; 0 if nothing is left."""
    squared = float((s.mean - other.mean).square().sum())
    left = squared - s.noise / s.num - other.noise / other.num
    return math.sqrt(max(0.0, left)) / norm(other)


def resolution(s: Summary, other: Summary) -> float:
    """The distance that the noise in both means would show if there were none."""
    return math.sqrt(s.noise / s.num + other.noise / other.num) / norm(other)


def cosine(s: Summary, other: Summary) -> float:
    """The cosine of the angle between the two mean gradients; noise may take it just above 1."""
    signal = math.sqrt(max(0.0, s.squared_signal))
    product = float((s.mean * other.mean).sum())
    return product / (signal * norm(other)) if signal else math.nan


def norm(s: Summary) -> float:
    """||E g||, the noise in the mean taken off; NaN where nothing is left."""
    return math.sqrt(s.squared_signal) if s.squared_signal > 0.0 else math.nan
