"""Layers of latents given their neighbours: diagonal Gaussians whose parameters a network gives.

A code z is its layers z_1, ..., z_L side by side, z_1 beside the images. Shapes: z [K, S, B, D].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vaebench.models.networks.side_by_side import StackedNetwork, of_samples, outputs
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops.noise import Noise

ROWS_APART = 1 << 24
"""The first rows of the noise of two layers' networks are so far apart."""


@dataclass(frozen=True)
class Conditional:
    """The law of a layer given its neighbour: N(mu, diag(exp(log_var))) of a network's numbers."""

    network: nn.Module
    """[S, n, D of the neighbour] -> means and log-variances side by side [S, n, 2 D]."""
    step: Noise | None = None
    """The random numbers of a training step, where its layers draw; None in evaluation."""
    is_stopped: bool = False
    """Whether its parameters are without gradient."""

    def __call__(self, neighbour: Tensor) -> DiagonalGaussian:
        """The law of the layer given samples of its neighbour, [K, S, B, D'] -> [K, S, B, D]."""
        mu, log_var = of_samples(self._numbers, neighbour).chunk(2, -1)
        return DiagonalGaussian(mu, log_var)

    def _numbers(self, rows: Tensor) -> Tensor:
        if not self.is_stopped:
            return outputs(self.network, rows, self.step)
        stopped = {name: p.detach() for name, p in self.network.named_parameters()}
        of_step = (self.step,) if isinstance(self.network, StackedNetwork) else ()
        out: Tensor = torch.func.functional_call(self.network, stopped, (rows, *of_step))
        return out


@dataclass(frozen=True)
class Conditionals:
    """The conditional laws between neighbouring layers, the lowest two layers first."""

    of_pairs: tuple[Conditional, ...]
    dims: tuple[int, ...]
    """D_1, ..., D_L."""

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The layers of codes: [..., D] -> [..., D_l] for each l."""
        return z.split(self.dims, -1)

    def stopped(self) -> Conditionals:
        """The same laws, their parameters without gradient."""
        of_pairs = tuple(replace(law, is_stopped=True) for law in self.of_pairs)
        return replace(self, of_pairs=of_pairs)


def conditionals(
    networks: Sequence[nn.Module], dims: tuple[int, ...], step: Noise | None
) -> Conditionals:
    """The laws that these networks give in a step, or in evaluation; one for each two layers."""
    steps = [step and step.at(row=ROWS_APART * i) for i in range(1, len(networks) + 1)]
    of_pairs = (Conditional(*pair) for pair in zip(networks, steps, strict=True))
    return Conditionals(tuple(of_pairs), dims)
