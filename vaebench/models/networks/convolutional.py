"""A model that sees neighbouring pixels: strided convolutions, and transposed ones back.

Shapes: x [S, N, P], P = H W C in the order of stored images; z [S, N, D]; n numbers a pixel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.core.about import About
from vaebench.data import colour_axis
from vaebench.models.networks.entry import stacked_model
from vaebench.models.networks.layers import (
    StackedConv,
    StackedConvTranspose,
    StackedLinear,
    in_pieces,
    out_of_pieces,
    widest,
)
from vaebench.models.networks.sizes import ImageShape, Networks, Planes, Sizes, planes
from vaebench.ops.noise import Noise


class ConvEncoder(nn.Module):
    """Convolutions with ReLU, then an affine map: [S, N, P] -> [S, N, R]."""

    def __init__(
        self, image: Planes, convolutions: Sequence[StackedConv], affine: StackedLinear
    ) -> None:
        super().__init__()
        self.image, self.affine = image, affine
        self.convolutions = nn.ModuleList(convolutions)
        self.widest = widest(self.convolutions)

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = self.image
        pieces = in_pieces(x.unflatten(-1, (height, width, channels)).movedim(-1, 2), self.widest)
        for convolution in self.convolutions:
            pieces = [F.relu(features) for features in convolution(pieces)]
        return self.affine(out_of_pieces(pieces, len(x)).flatten(2))


class ConvDecoder(nn.Module):
    """An affine map, then transposed convolutions, each of the ReLU: [S, N, D] -> [S, N, n P]."""

    def __init__(
        self,
        affine: StackedLinear,
        features: Planes,
        convolutions: Sequence[StackedConvTranspose],
        outputs_per_pixel: int,
    ) -> None:
        super().__init__()
        self.affine, self.features, self.outputs_per_pixel = affine, features, outputs_per_pixel
        self.convolutions = nn.ModuleList(convolutions)
        self.widest = widest(self.convolutions)

    def forward(self, z: Tensor) -> Tensor:
        pieces = in_pieces(self.affine(z).unflatten(-1, self.features), self.widest)
        for convolution in self.convolutions:
            pieces = convolution([F.relu(features) for features in pieces])
        # [n, C, H, W] of each row -> [n, P]: a likelihood takes its n apart first.
        images = out_of_pieces(pieces, len(z)).unflatten(2, (self.outputs_per_pixel, -1))
        return images.movedim(3, -1).flatten(2)


def _refuses_widths(widths: Sequence[int]) -> str:
    if widths:
        return ""
    return "it needs a layer: set model.widths to the channels of each, as in [16, 32]"


def _refuses_images(image_shape: ImageShape, widths: Sequence[int]) -> str:
    shape = planes(image_shape)
    if shape is None:
        stored = f"[N, {', '.join(map(str, image_shape))}]"
        remedy = "store them so"
        if colour_axis(image_shape) == 0:
            remedy = "that is channels first, so store x.transpose(0, 2, 3, 1)"
        return (
            f"it needs images [N, height, width] or [N, height, width, 3]; got {stored}: "
            f"{remedy}, or choose model 'mlp'"
        )
    most = min(shape.height, shape.width).bit_length() - 1
    if len(widths) <= most:
        return ""
    return (
        f"each of its layers halves the image, and {shape.height}x{shape.width} pixels have room "
        f"for at most {most}; got {len(widths)} widths: shorten model.widths, or choose model 'mlp'"
    )


@stacked_model(
    refusal_of_widths=_refuses_widths,
    refusal_of_images=_refuses_images,
    about=About(
        formula=r"h_i = \mathrm{relu}(A_i \ast h_{i-1} + a_i), \qquad A_i \; 4 \times 4 "
        r"\text{ with stride } 2",
        wrong_when="For data that are no images, or images with sides too short to be "
        "halved as often.",
    ),
)
def conv(sizes: Sizes, widths: Sequence[int], noises: Iterator[Noise]) -> Networks:
    """Convolutions with `widths` channels, each halving the image, and transposed ones back.

    4x4, stride 2, ReLU between; the decoder has the same in reverse, transposed.
    """
    shape = planes(sizes.image_shape)
    assert shape and widths, "the configuration allows images only, and at least one width"
    halved = [(shape.height >> i, shape.width >> i) for i in range(len(widths) + 1)]
    features = Planes(widths[-1], *halved[-1])

    steps = zip(itertools.pairwise([shape.channels, *widths]), halved, strict=False)
    down = [StackedConv(a, b, size, next(noises)) for (a, b), size in steps]
    encoder = StackedLinear(math.prod(features), sizes.posterior, next(noises))

    decoder = StackedLinear(sizes.code, math.prod(features), next(noises))
    channels = [shape.channels * sizes.outputs_per_pixel, *widths]
    back = reversed([*zip(itertools.pairwise(channels), halved, strict=False)])
    up = [StackedConvTranspose(b, a, size, next(noises)) for (a, b), size in back]
    return (
        ConvEncoder(shape, down, encoder),
        ConvDecoder(decoder, features, up, sizes.outputs_per_pixel),
    )
