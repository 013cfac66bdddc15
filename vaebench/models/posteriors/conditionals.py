"""Layers of latents given their neighbours: diagonal Gaussians whose parameters a network gives.

A code z is its layers z_1, ..., z_L side by side, z_1 beside the images. Shapes: z [K, S, B, D].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vaebench.models.networks.side_by_side import ROWS_APART, of_samples, outputs
from vaebench.models.posteriors.entry import Draw, no_formula
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops import densities
from vaebench.ops.noise import Noise


@dataclass(frozen=True)
class Conditional:
    """The law of a layer given its neighbour: N(mu, diag(exp(log_var))) of a network's numbers."""

    network: nn.Module
    """[S, n, D of the neighbour] -> means and log-variances side by side [S, n, 2 D]."""
    step: Noise | None = None
    """The random numbers of a training step, where its layers draw; None in evaluation."""
    first_row: int = 0
    """The row of that noise from which on the layers of this network draw."""
    is_stopped: bool = False
    """Whether its parameters are without gradient."""

    def __call__(self, neighbour: Tensor) -> DiagonalGaussian:
        """The law of the layer given samples of its neighbour, [K, S, B, D'] -> [K, S, B, D]."""
        step = self.step
        if step is not None:  # its layers have rows for all samples of the examples before
            step = step.at(row=self.first_row + len(neighbour) * step.first_row)
        mu, log_var = of_samples(partial(self._numbers, step=step), neighbour).chunk(2, -1)
        return DiagonalGaussian(mu, log_var)

    def _numbers(self, rows: Tensor, step: Noise | None) -> Tensor:
        named = self.network.named_parameters() if self.is_stopped else ()
        return outputs(self.network, rows, step, {name: p.detach() for name, p in named})


@dataclass(frozen=True)
class Conditionals:
    """The conditional laws between neighbouring layers, the lowest two layers first."""

    of_pairs: tuple[Conditional, ...]
    dims: tuple[int, ...]
    """D_1, ..., D_L."""

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The layers of codes: [..., D] -> [..., D_l] for each l."""
        return z.split(self.dims, -1)

    def with_means_below(self, z: Tensor, dimension: int) -> Tensor:
        """Codes whose layers below that of a dimension are at their means given the layer above,
        by laws that lead down: [K, S, B, D]."""
        parts = [*self.split(z)]
        ends = itertools.accumulate(self.dims)
        layer = next(i for i, end in enumerate(ends) if dimension < end)
        for i in reversed(range(layer)):
            parts[i] = self.of_pairs[i](parts[i + 1]).mu
        return torch.cat(parts, -1)

    def stopped(self) -> Conditionals:
        """The same laws, their parameters without gradient."""
        of_pairs = tuple(replace(law, is_stopped=True) for law in self.of_pairs)
        return replace(self, of_pairs=of_pairs)


@runtime_checkable
class Layered(Protocol):
    """A posterior over layers."""

    def log_prob_of_layers(self, z: Tensor) -> list[Tensor]:
        """log q of each layer given those that it is drawn from: [K, S, B, D] -> [K, S, B] each."""


def conditionals(
    networks: Sequence[nn.Module], dims: tuple[int, ...], step: Noise | None
) -> Conditionals:
    """The laws that these networks give in a step, or in evaluation; one for each two layers."""
    of_pairs = (Conditional(net, step, ROWS_APART * i) for i, net in enumerate(networks, 1))
    return Conditionals(tuple(of_pairs), dims)


Laws = Sequence[DiagonalGaussian]
"""The law of each layer, the lowest first, given samples of those that it is drawn from."""


def sample_of(law: DiagonalGaussian, eps: Tensor) -> Tensor:
    """A layer from its law and standard normals: [K, S, B, D]."""
    return densities.reparameterise(law.mu, law.log_var, eps)


def draw_of(laws: Laws, layers: Sequence[Tensor]) -> Draw:
    """A draw of layers [K, S, B, D_l] from their laws, with its log-density."""
    log_q = sum_of([law.log_prob(z) for law, z in zip(laws, layers, strict=True)])
    means = [law.mu.expand_as(z) for law, z in zip(laws, layers, strict=True)]
    return Draw(torch.cat([*layers], -1), log_qz_x=log_q, mean=torch.cat(means, -1))


def sum_of(log_probs: list[Tensor]) -> Tensor:
    """The sum of the log-densities of layers: [K, S, B]."""
    return torch.stack(log_probs).sum(0)


def refuse_moment(family: str, what: str) -> NoReturn:
    """Raises InputError: a moment of a hierarchy has no formula."""
    instead = "choose an objective that samples the rate, as elbo_mc, or one layer of latents"
    raise no_formula(family, what, instead)
