"""Models without a notion of an image: affine maps of all its numbers, with or without ReLU."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vaebench.models.networks.entry import stacked_model
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.networks.sizes import Networks, Sizes
from vaebench.ops.noise import Noise


class LinearEncoder(nn.Module):
    """D numbers linear in x, the means of a posterior; the rest [S, 1, R - D] the same for all x.

    With 2D numbers, N(Vx + c, diag(exp(log_var))), log_var one for all x (Lucas et al. 2019).
    """

    def __init__(self, mu: StackedLinear, rest: Tensor) -> None:
        super().__init__()
        self.mu = mu
        self.rest = nn.Parameter(rest)

    def forward(self, x: Tensor) -> Tensor:
        mu = self.mu(x)
        return torch.cat([mu, self.rest.expand(-1, mu.shape[1], -1)], -1)


@stacked_model()
def mlp(sizes: Sizes, widths: Sequence[int], noises: Iterator[Noise]) -> Networks:
    """Hidden layers of the `widths`, with ReLU, and the same in reverse for the decoder."""
    encoder = _chain([sizes.pixels, *widths, sizes.posterior], noises)
    return encoder, _chain([sizes.code, *reversed(widths), sizes.out], noises)


def _refuses_hidden_layers(widths: Sequence[int]) -> str:
    return "it has no hidden layers: set model.widths = []" if widths else ""


@stacked_model(refusal_of_widths=_refuses_hidden_layers)
def linear(sizes: Sizes, widths: Sequence[int], noises: Iterator[Noise]) -> Networks:
    """The linear VAE, whose optimum is probabilistic PCA (Lucas et al. 2019).

    log_var starts from 0. Further numbers of a posterior start as biases do, because a planar map
    whose parameters are all 0 has no gradient and would stay there.
    """
    assert not widths, "the configuration allows no hidden widths here"
    mu = StackedLinear(sizes.pixels, sizes.code, next(noises))
    rest = torch.zeros_like(mu.bias)[..., : sizes.posterior - sizes.code]
    beyond = sizes.posterior - 2 * sizes.code
    if beyond > 0:
        others = StackedLinear(sizes.pixels, beyond, next(noises))
        rest = torch.cat([rest, others.bias.detach()], -1)
    return LinearEncoder(mu, rest), StackedLinear(sizes.code, sizes.out, next(noises))


def _chain(sizes: Sequence[int], noises: Iterator[Noise]) -> nn.Sequential:
    """Affine maps through the sizes, a ReLU between each two."""

    def modules() -> Iterator[nn.Module]:
        for i, (num_inputs, num_outputs) in enumerate(itertools.pairwise(sizes)):
            if i:
                yield nn.ReLU()
            yield StackedLinear(num_inputs, num_outputs, next(noises))

    return nn.Sequential(*modules())
