"""Sums and integrals over the domain of a density: points, weights and error estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.models.posteriors import Latent

NUM_POINTS, NUM_ON_AXIS, NUM_SQUARED = 60_001, 6_001, 409
"""On a line; on one that codes are on; on each side of a plane. With every second, and with every
third of them, the middle is still one, where many a density has its kink."""
NEAREST, FARTHEST = 1e-8, 1e12
"""Distances from the centre of an unbounded interval between which a density is resolved."""
NEGLIGIBLE = 1e-40
"""The last term of an integral near 1 below which nothing beyond it counts: where an inner integral
is so small, it need not decay within its grid."""
END = 25.0
"""1 / (1 + exp(-25)) is the last number near 1 whose distance from 1 float64 knows to 5 digits."""


@dataclass(frozen=True)
class Grid:
    """Points x(t) [n] at even steps of t, with dx/dt times the step [n] as weights."""

    points: Tensor
    weights: Tensor
    tails: bool = True
    """Whether something lies beyond the first and the last point."""

    def total(self, density: Tensor) -> Tensor:
        """The integral, or the sum, of a function [..., n] given at the points: [...]."""
        return self._total(density * self.weights)

    def error(self, density: Tensor) -> Tensor:
        """By how much half or a third as many points would change the integral, at most: [...].

        At a kink one of the two may change nothing, by chance; not both.
        """
        if not self.tails:
            return torch.zeros_like(density[..., 0])
        terms = density * self.weights
        fewer = [step * self._total(terms[..., ::step]) for step in (2, 3)]
        return (torch.stack(fewer) - self._total(terms)).abs().amax(0)

    def _total(self, terms: Tensor) -> Tensor:
        if not self.tails:
            return terms.sum(-1)
        return terms.sum(-1) + _beyond(terms) + _beyond(terms.flip(-1))


def _beyond(terms: Tensor) -> Tensor:
    """The terms after the last [..., n], continued as a geometric series: [...].

    So do the tails of exponentials and of powers in the grids below. One that does not decay has no
    integral: infinity.
    """
    steps = max(1, terms.shape[-1] // 20)
    last, before = terms[..., -1], terms[..., -1 - steps]
    ratio = torch.where(last.abs() < NEGLIGIBLE, 0.0, (last / before).abs().pow(1.0 / steps))
    return torch.where(ratio < 1.0, last * ratio / (1.0 - ratio), math.inf)


def over_values(values: tuple[float, ...]) -> Grid:
    """The sum over a finite set."""
    points = torch.tensor(values, dtype=torch.float64)
    return Grid(points, torch.ones_like(points), tails=False)


def over_interval(interval: tuple[float, float], centre: float = 0.0) -> Grid:
    """The integral over an interval, ends excluded; without ends, finest near the centre."""
    low, high = interval
    if math.isfinite(low) and math.isfinite(high):
        return _even(END, lambda t: low + (high - low) * t.sigmoid())
    reach = math.asinh(FARTHEST / NEAREST)
    if math.isfinite(low):
        return _even(math.log(FARTHEST), lambda t: low + t.exp())
    if math.isfinite(high):
        return _even(math.log(FARTHEST), lambda t: high - (-t).exp())
    return _even(reach, lambda t: centre + NEAREST * t.sinh())


@dataclass(frozen=True)
class Space:
    """All codes of a small latent space: points [G, D], and the sum or integral over them."""

    points: Tensor
    axes: tuple[Grid, ...]

    def total(self, density: Tensor) -> Tensor:
        """The sum or integral of a function given at the points: [..., G] -> [...]."""
        values = self._shaped(density)
        for axis in reversed(self.axes):
            values = axis.total(values)
        return values

    def error(self, density: Tensor) -> Tensor:
        """By how much fewer points on one axis would change the total, at most: [...]."""
        if len(self.axes) == 1:
            return self.axes[0].error(density)
        inner = self._shaped(density)
        by_axis = (self.axes[0].error(self.axes[1].total(d)) for d in (inner, inner.mT))
        return torch.stack(list(by_axis)).amax(0)

    def _shaped(self, density: Tensor) -> Tensor:
        return density.unflatten(-1, [len(axis.points) for axis in self.axes])


def space(latent: Latent, *, discrete: bool) -> Space:
    """The codes of D categorical variables, or the points of a D-dimensional space, D <= 2."""
    if discrete:
        values = torch.arange(latent.num_classes)
        codes = torch.cartesian_prod(*[values] * latent.dim).view(-1, latent.dim)
        points = F.one_hot(codes, latent.num_classes).double().flatten(-2)
        return Space(points, (Grid(points[:, 0], torch.ones(len(points)).double(), tails=False),))
    axis = _even(8.0, torch.sinh, NUM_SQUARED if latent.dim > 1 else NUM_ON_AXIS)
    points = torch.cartesian_prod(*[axis.points] * latent.dim).view(-1, latent.dim)
    return Space(points, (axis,) * latent.dim)


def _even(reach: float, to_x: Callable[[Tensor], Tensor], num_points: int = NUM_POINTS) -> Grid:
    t = torch.linspace(-reach, reach, num_points, dtype=torch.float64, requires_grad=True)
    x = to_x(t)
    (slope,) = torch.autograd.grad(x.sum(), t)
    return Grid(x.detach(), slope * (2.0 * reach / (num_points - 1)))
