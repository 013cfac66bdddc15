"""The deterministic layers d_1, ..., d_L of a ladder, each for one layer of latents.

Shapes: S runs, N rows, D numbers of a code, D_l of its layer l.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vaebench.models.networks.layers import StackedLinear
from vaebench.models.networks.normalised import StackedBatchNorm
from vaebench.models.networks.side_by_side import ROWS_APART, StochasticNetwork, outputs
from vaebench.ops.noise import Noise


class DeterministicLayers(StochasticNetwork):
    """Means and log-variances of all layers, side by side: x [S, N, P] -> [S, N, 2 D].

    d_1 = f(network_1(x)), d_l = f(network_l(d_l-1)), f a rectifier, after a batch normalisation
    where there are some; an affine map of d_l gives the numbers of layer l (Sonderby et al. 2016,
    section 2.1).
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        norms: Sequence[nn.Module],
        heads: Sequence[StackedLinear],
    ) -> None:
        super().__init__()
        self.networks, self.heads = nn.ModuleList(networks), nn.ModuleList(heads)
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Tensor, step: Noise | None = None) -> Tensor:
        numbers = []
        for i, (network, norm, head) in enumerate(
            zip(self.networks, self.norms, self.heads, strict=True)
        ):
            of_layer = step and step.at(row=ROWS_APART * i + step.first_row)
            x = torch.relu(norm(outputs(network, x, of_layer)))
            numbers.append(head(x).chunk(2, -1))
        means, log_vars = zip(*numbers, strict=True)
        return torch.cat([*means, *log_vars], -1)


def deterministic_layers(
    encoder: nn.Module,
    dims: Sequence[int],
    features: Sequence[int],
    between: Sequence[nn.Module],
    noises: Iterator[Noise],
    *,
    normalised: bool,
) -> DeterministicLayers:
    """The layers of S runs: `encoder` gives the first of `features` numbers, each of `between` the
    next ones; D_l numbers of each latent layer are `dims`."""
    sizes = zip(features, dims, strict=True)
    heads = [StackedLinear(width, 2 * dim, next(noises)) for width, dim in sizes]
    num_runs = len(heads[0].weight)
    norms = [StackedBatchNorm(num_runs, n) if normalised else nn.Identity() for n in features]
    return DeterministicLayers([encoder, *between], norms, heads)
