"""Hamiltonian Monte Carlo on p(z) p(x|z)^t, at any temperature t between prior and posterior.

Shapes: K chains, S runs, B examples, D dimensions: z [K, S, B, D], densities [K, S, B], step sizes
[S, B]. Neal 2011, "MCMC using Hamiltonian dynamics", figure 2 and section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.ops.noise import Noise, normals, uniforms

JITTER = 0.2
"""Steps vary by this share, so that no trajectory comes back to its start each time (Neal 2011,
section 3.2)."""
STREAM_STEPS = 2
"""Steps of the noise that a transition reads."""

Density = Callable[[Tensor], Tensor]
"""z [K, S, B, D] -> a log-density [K, S, B], differentiable."""


class Target(NamedTuple):
    """The log-densities log p(z) and log p(x|z) that chains are drawn from."""

    log_prior: Density
    log_likelihood: Density


class Point(NamedTuple):
    """The positions of chains, with log-densities and gradients there."""

    z: Tensor  # [K, S, B, D]
    log_pz: Tensor  # [K, S, B]
    log_px_z: Tensor  # [K, S, B]
    dlog_pz: Tensor  # [K, S, B, D] gradients with respect to z
    dlog_px_z: Tensor  # [K, S, B, D]

    def log_density(self, temperature: float) -> Tensor:
        """log p(z) + t log p(x|z): [K, S, B]."""
        return self.log_pz + temperature * self.log_px_z

    def force(self, temperature: float) -> Tensor:
        """The gradient of that log-density: [K, S, B, D]."""
        return self.dlog_pz + temperature * self.dlog_px_z


def point_at(target: Target, z: Tensor) -> Point:
    """Densities and gradients at z. Raises InputError where there is no gradient."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_pz, log_px_z = (density(z) for density in target)
        gradients = _gradient("p(z)", log_pz, z), _gradient("p(x|z)", log_px_z, z)
    return Point(z.detach(), log_pz.detach(), log_px_z.detach(), *gradients)


def _gradient(name: str, log_density: Tensor, z: Tensor) -> Tensor:
    if not log_density.requires_grad:
        raise InputError(
            f"Hamiltonian Monte Carlo follows the gradient of log {name} in z; this one has none: "
            "compute it by differentiable operations on z, without torch.no_grad or detach"
        )
    (gradient,) = torch.autograd.grad(log_density.sum(), z)
    return gradient


def leapfrog(
    target: Target,
    start: Point,
    momentum: Tensor,
    temperature: float,
    step: Tensor,
    num_leapfrog: int,
) -> tuple[Point, Tensor]:
    """Where a trajectory ends, with its momentum [K, S, B, D]; steps broadcast with z.

    The half steps of the momentum at both ends are one at the start, and one too many taken back.
    """
    point = start
    momentum = momentum + 0.5 * step * point.force(temperature)
    for _ in range(num_leapfrog):
        point = point_at(target, point.z + step * momentum)
        momentum = momentum + step * point.force(temperature)
    return point, momentum - 0.5 * step * point.force(temperature)


def transition(
    target: Target,
    point: Point,
    temperature: float,
    step: Tensor,
    num_leapfrog: int,
    noise: Noise,
) -> tuple[Point, Tensor]:
    """One step of chains that leaves p(z) p(x|z)^t as it is, and the chance of each to move.

    The steps [S, B] must not depend on where these chains are or have been. A proposal where the
    density, or a number on the way, is not finite is rejected.
    """
    momentum, stretch, level = _drawn(point.z, noise)
    steps = (step * (1.0 + JITTER * (2.0 * stretch - 1.0)))[..., None]
    proposed, ended = leapfrog(target, point, momentum, temperature, steps, num_leapfrog)
    gain = proposed.log_density(temperature) - point.log_density(temperature)
    gain = gain + 0.5 * (momentum.square() - ended.square()).sum(-1)
    possible = proposed.log_density(temperature).isfinite()
    chance = torch.where(possible, gain.clamp(max=0.0).exp(), 0.0).nan_to_num(0.0)
    return _chosen(level < chance, proposed, point), chance


def _drawn(z: Tensor, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """Momenta [K, S, B, D], and two uniform variables for each chain [K, S, B]."""
    num_chains, _, num_rows, num_columns = z.shape
    momentum = normals(noise, num_chains, num_rows, num_columns).to(z)
    of_chains = uniforms(noise.at(step=noise.step + 1), num_rows, 2 * num_chains).to(z)
    stretch, level = of_chains.permute(2, 0, 1).chunk(2)
    return momentum, stretch, level


def _chosen(accepted: Tensor, proposed: Point, point: Point) -> Point:
    wide = accepted[..., None]
    return Point(
        *(
            torch.where(wide if new.ndim > accepted.ndim else accepted, new, old)
            for new, old in zip(proposed, point, strict=True)
        )
    )
