"""The networks of a stack of one run as ordinary modules of torch.nn, without the axis of runs.

Shapes: examples [B, P], codes [B, D], P pixels in the order that they are stored in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vaebench.core.errors import InputError
from vaebench.models.networks.affine import LinearEncoder
from vaebench.models.networks.convolutional import ConvDecoder, ConvEncoder
from vaebench.models.networks.deterministic import DeterministicLayers
from vaebench.models.networks.layers import (
    KERNEL,
    PADDING,
    STRIDE,
    StackedConv,
    StackedConvTranspose,
    StackedLinear,
)
from vaebench.models.networks.normalised import StackedBatchNorm
from vaebench.models.networks.side_by_side import StackedNetwork, places


class Applied(nn.Module):
    """A function of a tensor as a module, with the name of its class in source."""

    def __init__(self, function: Callable[[Tensor], Tensor], class_name: str) -> None:
        super().__init__()
        self.function, self.class_name = function, class_name

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class ChannelsFirst(nn.Module):
    """Stored rows as images: [B, H W C] -> [B, C, H, W]."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.shape = height, width, channels

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, self.shape).movedim(-1, 1)


class ChannelsLast(nn.Module):
    """Images as stored rows, the n numbers of a pixel apart: [B, n C, H, W] -> [B, n H W C]."""

    def __init__(self, outputs_per_pixel: int) -> None:
        super().__init__()
        self.outputs_per_pixel = outputs_per_pixel

    def forward(self, images: Tensor) -> Tensor:
        apart = images.unflatten(1, (self.outputs_per_pixel, -1))
        return apart.movedim(2, -1).flatten(1)


class Normalised(nn.Module):
    """Batch normalisation of the last axis, whatever the axes before it: [..., D] -> [..., D]."""

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(0, -2)).view(x.shape)


class Rungs(nn.Module):
    """Means and log-variances of all layers of latents from a deterministic layer each:
    [B, P] -> [B, 2 D]."""

    def __init__(self, networks: nn.ModuleList, norms: nn.ModuleList, heads: nn.ModuleList) -> None:
        super().__init__()
        self.networks, self.norms, self.heads = networks, norms, heads

    def forward(self, x: Tensor) -> Tensor:
        halves = []
        for network, norm, head in zip(self.networks, self.norms, self.heads, strict=True):
            x = torch.relu(norm(network(x)))
            halves.append(head(x).chunk(2, -1))
        return torch.cat([half[i] for i in range(2) for half in halves], -1)


def one_run(network: nn.Module) -> nn.Module:
    """A network of one run, [1, B, in] -> [1, B, out], as modules [B, in] -> [B, out], fit to be
    evaluated. Raises InputError for a network that it does not know."""
    match network:
        case StackedNetwork():
            plain: nn.Module = _of_users(network)
        case nn.Sequential():
            plain = nn.Sequential(*map(one_run, network))
        case StackedLinear():
            plain = linear(network.weight[0], network.bias[0, 0])
        case StackedBatchNorm():
            plain = _batch_norm(network)
        case DeterministicLayers():
            parts = network.networks, network.norms, network.heads
            plain = Rungs(*(nn.ModuleList(map(one_run, part)) for part in parts))
        case LinearEncoder():
            plain = _linear_encoder(network)
        case ConvEncoder():
            plain = _conv_encoder(network)
        case ConvDecoder():
            plain = _conv_decoder(network)
        case _ if not network.state_dict():
            plain = copy.deepcopy(network)
        case _:
            raise InputError(
                f"{type(network).__name__} is a network of runs side by side, which no module of "
                f"torch.nn stands for: write it as @vb.model, of one run, to export it"
            )
    return plain.eval()


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The affine map x @ weight + bias, of weight [in, out]."""
    layer = nn.Linear(*weight.shape).to(weight)
    return _with(layer, weight=weight.T, bias=bias)


def _with(layer: nn.Linear, **parameters: Tensor) -> nn.Linear:
    layer.load_state_dict({name: p.detach().clone() for name, p in parameters.items()})
    return layer


def _batch_norm(norm: StackedBatchNorm) -> Normalised:
    tensors = {name: tensor[0, 0].detach().clone() for name, tensor in norm.state_dict().items()}
    plain = nn.BatchNorm1d(len(norm.bias[0, 0]), norm.EPS, norm.momentum).to(norm.bias)
    plain.load_state_dict({**plain.state_dict(), **tensors})
    return Normalised(plain)


def _linear_encoder(network: LinearEncoder) -> nn.Linear:
    """One affine map, of which the numbers that no x changes have weights of 0."""
    rest = network.rest[0, 0]
    weight = network.mu.weight[0]
    zeros = weight.new_zeros(len(weight), len(rest))
    return linear(torch.cat([weight, zeros], 1), torch.cat([network.mu.bias[0, 0], rest]))


def _conv_encoder(network: ConvEncoder) -> nn.Sequential:
    channels, height, width = network.image
    layers: list[nn.Module] = []
    for convolution in network.convolutions:
        layers += [_convolution(convolution), nn.ReLU()]
    image = ChannelsFirst(height, width, channels)
    return nn.Sequential(image, *layers, nn.Flatten(), one_run(network.affine))


def _conv_decoder(network: ConvDecoder) -> nn.Sequential:
    layers: list[nn.Module] = []
    for convolution in network.convolutions:
        layers += [nn.ReLU(), _convolution(convolution)]
    rows = ChannelsLast(network.outputs_per_pixel)
    features = tuple(network.features)
    return nn.Sequential(one_run(network.affine), nn.Unflatten(1, features), *layers, rows)


def _convolution(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, StackedConv | StackedConvTranspose), "conv has no other layers"
    weight, bias = layer.weight[0].detach(), layer.bias[0].detach()
    first, second = weight.shape[:2]
    plain: nn.Module
    if isinstance(layer, StackedConv):
        plain = nn.Conv2d(second, first, KERNEL, STRIDE, PADDING)
    else:
        height, width = layer.odd
        plain = nn.ConvTranspose2d(first, second, KERNEL, STRIDE, PADDING, (height, width))
    plain.load_state_dict({"weight": weight, "bias": bias})
    return plain.to(weight)


def _of_users(stacked: StackedNetwork) -> nn.Sequential:
    """A network that was written for one run, between rows as they are stored."""
    network = copy.deepcopy(stacked.network)
    for held, name in places(network.modules()):
        tensor = held[name][0].detach().clone()
        held[name] = nn.Parameter(tensor) if isinstance(held[name], nn.Parameter) else tensor
    side = stacked.side
    copies_alone = side.to_network is torch.clone
    before = [] if copies_alone else [Applied(side.to_network, "ToNetwork")]
    return nn.Sequential(*before, _computed(network.eval()), Applied(side.from_network, "ToRows"))


def _computed(module: nn.Module) -> nn.Module:
    """A module whose parametrised tensors, as under spectral normalisation, are what they are
    computed to be. The given one, and the class that it shares with others, stay as they are."""
    for name, part in [*module.named_children()]:
        if name != "parametrizations":
            setattr(module, name, _computed(part))
    if not parametrize.is_parametrized(module):
        return module
    kind = parametrize.type_before_parametrizations(module)
    plain: nn.Module = object.__new__(kind)
    vars(plain).update(vars(module))
    plain._modules = {k: part for k, part in module._modules.items() if k != "parametrizations"}
    names = [name for name, _ in module.get_submodule("parametrizations").named_children()]
    computed = {name: nn.Parameter(getattr(module, name).detach()) for name in names}
    plain._parameters = {**module._parameters, **computed}
    return plain
