"""Models without a notion of an image: affine maps of all its numbers, and activations."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vaebench.core.about import About
from vaebench.models.networks.entry import stacked_model
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.networks.normalised import StackedBatchNorm
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


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gated": nn.GLU,
}
"""What follows a hidden layer. Gated: one half of its numbers times the sigmoid of the other, each
half as wide as the layer is said to be (Tomczak & Welling 2018, the code's GatedDense)."""


@stacked_model(
    about=About(
        formula=r"h_i = \mathrm{act}(A_i h_{i-1} + a_i), \qquad \text{numbers of } q(z|x) "
        r"= A_n h_{n-1} + a_n",
        wrong_when="For images whose objects move about: it knows nothing of neighbouring pixels.",
        cost="for each example a multiplication for every weight forward, about two backward",
    ),
)
def mlp(
    sizes: Sizes,
    widths: Sequence[int],
    noises: Iterator[Noise],
    *,
    activation: Literal["relu", "tanh", "elu", "gelu", "gated"] = "relu",
    init: Literal["torch", "glorot"] = "torch",
    output_bias: Literal["layer", "data"] = "layer",
    norm: Literal["none", "batch"] = "none",
) -> Networks:
    """Hidden layers of the `widths`, activated, and the same in reverse for the decoder.

    `output_bias`: the decoder's last biases start as a layer's, or where p(x|z) has the mean of the
    training images, as at its log-odds. `norm`: whether hidden layers are normalised before their
    activation, over the minibatch in training and by running values in evaluation.
    """
    perceptron = functools.partial(_perceptron, noises, activation, init, norm)
    encoder = perceptron([sizes.pixels, *widths, sizes.posterior], sizes.num_means)
    decoder = perceptron([sizes.code, *reversed(widths), sizes.out], sizes.pixels)
    if output_bias == "data" and sizes.outputs_at_mean is not None:
        last = decoder[-1]
        assert isinstance(last, StackedLinear)
        last.bias.data.copy_(sizes.outputs_at_mean)
    return encoder, decoder


def _refuses_hidden_layers(widths: Sequence[int]) -> str:
    return "it has no hidden layers: set model.widths = []" if widths else ""


@stacked_model(
    refusal_of_widths=_refuses_hidden_layers,
    about=About(
        formula=r"q(z|x) = \mathcal{N}(V x + c, \mathrm{diag}(\sigma^2)), \qquad "
        r"\text{output} = W z + m",
        wrong_when="As a model of images: its place is in tests, where its optimum, "
        "probabilistic PCA, is known exactly.",
    ),
)
def linear(sizes: Sizes, widths: Sequence[int], noises: Iterator[Noise]) -> Networks:
    """The linear VAE, whose optimum is probabilistic PCA (Lucas et al. 2019).

    log_var starts from 0. Further numbers of a posterior start as biases do, because a planar map
    whose parameters are all 0 has no gradient and would stay there.
    """
    assert not widths, "the configuration allows no hidden widths here"
    mu = StackedLinear(sizes.pixels, sizes.num_means, next(noises))
    rest = torch.zeros_like(mu.bias)[..., : sizes.posterior - sizes.num_means]
    beyond = sizes.posterior - 2 * sizes.num_means
    if beyond > 0:
        others = StackedLinear(sizes.pixels, beyond, next(noises))
        rest = torch.cat([rest, others.bias.detach()], -1)
    return LinearEncoder(mu, rest), StackedLinear(sizes.code, sizes.out, next(noises))


def _perceptron(
    noises: Iterator[Noise],
    activation: str,
    init: str,
    norm: str,
    sizes: Sequence[int],
    last_map: int,
) -> nn.Sequential:
    """Affine maps through the sizes, an activation between each two.

    `last_map`: the numbers that the last layer gives are maps of so many each, as means and log
    variances, or all means and then all scales of pixels.
    """
    each_map = [*sizes[1:-1], last_map]
    halves = [1 + (activation == "gated")] * len(sizes[1:-1]) + [1]

    def modules() -> Iterator[nn.Module]:
        for i, (num_inputs, num_outputs) in enumerate(itertools.pairwise(sizes)):
            layer = StackedLinear(num_inputs, halves[i] * num_outputs, next(noises))
            yield layer if init == "torch" else _glorot(layer, num_inputs, each_map[i])
            if i == len(sizes) - 2:
                return
            if norm == "batch":
                yield StackedBatchNorm(*layer.bias[:, 0].shape)
            yield ACTIVATIONS[activation]()

    return nn.Sequential(*modules())


def _glorot(layer: StackedLinear, num_inputs: int, num_outputs: int) -> StackedLinear:
    """A new layer with weights uniform in +-sqrt(6 / (in + out)) of each of its maps, and biases 0
    (Glorot & Bengio 2010, eq. 16)."""
    layer.weight.data.mul_(math.sqrt(6.0 * num_inputs / (num_inputs + num_outputs)))
    layer.bias.data.zero_()
    return layer
