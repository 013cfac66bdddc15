"""A residual network for images: the networks of one run, as a user's file would have them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated

from torch import Tensor, nn

from vaebench.core.about import About
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.models.networks.entry import model
from vaebench.models.networks.sizes import Networks, Sizes, planes

SMALLEST = 4
"""Height or width that is not halved any more."""


class Block(nn.Module):
    """Adds to its input what twice normalisation, ReLU and a 3x3 convolution make of it.

    The last convolution starts at 0, and with it every block as the identity, so that deep networks
    train without normalisation as well (Zhang et al. 2019, "Fixup initialization", section 3).
    """

    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.residual = nn.Sequential(
            *_activated(channels, norm),
            nn.Conv2d(channels, channels, 3, padding=1, bias=not norm),
            *_activated(channels, norm),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.residual(x)
        return x + added


@model(
    source="He et al. 2016, 'Identity mappings in deep residual networks', figure 4(e)",
    about=About(
        formula=r"h \leftarrow h + A_2 \ast \mathrm{relu}(A_1 \ast \mathrm{relu}(h))",
        wrong_when="For small data and short trainings: the deepest and slowest of the "
        "networks here. Images need even sides above 4.",
    ),
)
def resnet(
    sizes: Sizes,
    *,
    channels: Annotated[int, Hyper(low=1, search=(16, 64), log=True)] = 32,
    blocks: Annotated[int, Hyper(low=1, search=(1, 3))] = 1,
    norm: bool = False,
) -> Networks:
    """Residual blocks of 3x3 convolutions at every size, halved down to 4x4 and doubled back.

    4x4 convolutions of stride 2 between; `channels` after the first, twice as many after each
    further one. `blocks` at each size; `norm`: batch normalisation.
    """
    halvings = _halvings(sizes)
    widths = [channels << i for i in range(halvings)]
    inputs, height, width = sizes.shape
    features = widths[-1], height >> halvings, width >> halvings
    num_features = features[0] * features[1] * features[2]
    encoder = nn.Sequential(
        *_down([inputs, *widths], blocks, norm),
        *_activated(widths[-1], norm),
        nn.Flatten(),
        nn.Linear(num_features, sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, num_features),
        nn.Unflatten(1, features),
        *_up([*reversed(widths), sizes.out_shape[0]], blocks, norm),
    )
    return encoder, decoder


def _down(channels: Sequence[int], blocks: int, norm: bool) -> Iterator[nn.Module]:
    for few, many in itertools.pairwise(channels):
        yield nn.Conv2d(few, many, 4, stride=2, padding=1)
        yield from (Block(many, norm) for _ in range(blocks))


def _up(channels: Sequence[int], blocks: int, norm: bool) -> Iterator[nn.Module]:
    for many, few in itertools.pairwise(channels):
        yield from (Block(many, norm) for _ in range(blocks))
        yield from _activated(many, norm)
        yield nn.ConvTranspose2d(many, few, 4, stride=2, padding=1)


def _activated(channels: int, norm: bool) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(channels)] if norm else []), nn.ReLU()]


def _halvings(sizes: Sizes) -> int:
    """How often images are halved. Raises InputError where there are none that can be."""
    image = planes(sizes.image_shape)
    number = 0
    if image is not None:
        height, width = image.height, image.width
        while height % 2 == 0 and width % 2 == 0 and min(height, width) > SMALLEST:
            height, width, number = height // 2, width // 2, number + 1
    if number == 0:
        stored = f"[N, {', '.join(map(str, sizes.image_shape))}]"
        raise InputError(
            f"model 'resnet' is refused: it needs images [N, height, width] or [N, height, width, "
            f"3] with even sides above {SMALLEST}; got {stored}: choose model 'mlp'"
        )
    return number
