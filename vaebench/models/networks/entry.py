"""What a model is: networks of S runs between images, codes and likelihoods.

Shapes: x [S, B, P] -> numbers of a posterior [S, B, R]; codes [S, N, D] -> [S, N, n P].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from vaebench.core.registry import Registry
from vaebench.ops.noise import Noise

Networks = tuple[nn.Module, nn.Module]
"""Encoder and decoder."""
ImageShape = tuple[int, ...]
"""Of a stored image, whose product is P: (height, width), (height, width, channels) or another."""


class Sizes(NamedTuple):
    """What a model's networks begin and end with."""

    image_shape: ImageShape
    posterior: int
    """R: what the encoder gives for each example."""
    code: int
    """D: what the decoder is given for each code."""
    outputs_per_pixel: int
    """n."""

    @property
    def pixels(self) -> int:
        """P."""
        return math.prod(self.image_shape)

    @property
    def out(self) -> int:
        """n P: what the decoder gives for each code."""
        return self.pixels * self.outputs_per_pixel


@dataclass(frozen=True)
class Model:
    """One entry of the registry. A refusal is the reason and what to do, or "" for none."""

    networks: Callable[[Sizes, Sequence[int], Iterator[Noise]], Networks]
    """(sizes, widths, initial numbers of one layer after another) -> encoder and decoder."""
    refuses_widths: Callable[[Sequence[int]], str] = lambda widths: ""
    refuses_images: Callable[[ImageShape, Sequence[int]], str] = lambda image_shape, widths: ""


MODELS: Registry[Model] = Registry("model")
