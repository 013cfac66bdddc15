"""The sizes of what the networks of a model take and give."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from vaebench.data import colour_axis

Networks = tuple[nn.Module, nn.Module]
"""Encoder and decoder."""
ImageShape = tuple[int, ...]
"""The axes of a stored image: (height, width), (height, width, channels) or others. Their product
is P."""


class Planes(NamedTuple):
    """The axes of an image, channels first."""

    channels: int
    height: int
    width: int


def planes(image_shape: ImageShape) -> Planes | None:
    """Channels, height and width of stored images: grey, or with a last axis of colours."""
    if len(image_shape) == 2:
        return Planes(1, *image_shape)
    if colour_axis(image_shape) == -1:
        height, width, channels = image_shape
        return Planes(channels, height, width)
    return None


class Sizes(NamedTuple):
    """The sizes of what a model's networks take and give."""

    image_shape: ImageShape
    posterior: int
    """R: numbers that the encoder gives for each example."""
    code: int
    """D: numbers of each code that the decoder takes."""
    outputs_per_pixel: int
    """n: numbers that the decoder gives for each pixel."""
    outputs_at_mean: Tensor | None = None
    """[n P]: what the decoder gives where p(x|z) has the mean of the training images, for a model
    that starts there (see `Model.starts_at_data`); None where no images are at hand, as where
    weights that are trained are read into the model."""

    means: int | None = None
    """How many of the R are means, the first ones, where they are not D."""

    @property
    def num_means(self) -> int:
        """The numbers of the R that are means of a posterior; they come first."""
        return self.code if self.means is None else self.means

    @property
    def pixels(self) -> int:
        """P: pixels of an image."""
        return math.prod(self.image_shape)

    @property
    def out(self) -> int:
        """n P: numbers that the decoder gives for each code."""
        return self.pixels * self.outputs_per_pixel

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example as the encoder of one run takes it: (channels, height, width) of
        an image, grey ones having one channel; of anything else the axes as they are stored."""
        return planes(self.image_shape) or self.image_shape

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of what the decoder of one run gives for a code: `shape` with n times its
        first axis, the n numbers of a pixel apart, as (n channels, height, width)."""
        first, *rest = self.shape
        return (self.outputs_per_pixel * first, *rest)
