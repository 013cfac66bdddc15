"""What a registered model declares of itself, and the decorator that registers it.

A model is the encoder and decoder of S runs between images, codes and likelihoods.

Shapes: x [S, B, P] -> numbers of a posterior [S, B, R]; codes [S, N, D] -> [S, N, n P].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from torch import nn

from vaebench.core.errors import InputError
from vaebench.core.hyper import check_signature
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.ops.noise import Noise

Networks = tuple[nn.Module, nn.Module]
"""Encoder and decoder."""
ImageShape = tuple[int, ...]
"""The axes of a stored image: (height, width), (height, width, channels) or others. Their product
is P."""


class Sizes(NamedTuple):
    """The sizes of what a model's networks take and give."""

    image_shape: ImageShape
    posterior: int
    """R: numbers that the encoder gives for each example."""
    code: int
    """D: numbers of each code that the decoder takes."""
    outputs_per_pixel: int
    """n: numbers that the decoder gives for each pixel."""

    @property
    def pixels(self) -> int:
        """P: pixels of an image."""
        return math.prod(self.image_shape)

    @property
    def out(self) -> int:
        """n P: numbers that the decoder gives for each code."""
        return self.pixels * self.outputs_per_pixel


def _refuses_no_widths(widths: Sequence[int]) -> str:
    return ""


def _refuses_no_images(image_shape: ImageShape, widths: Sequence[int]) -> str:
    return ""


@dataclass(frozen=True)
class Model:
    """One entry of the registry. A refusal is the reason and what to do, or "" for none."""

    name: str
    networks: Callable[[Sizes, Sequence[int], Iterator[Noise]], Networks]
    """(sizes, widths, initial numbers of one layer after another) -> encoder and decoder."""
    refuses_widths: Callable[[Sequence[int]], str] = _refuses_no_widths
    refuses_images: Callable[[ImageShape, Sequence[int]], str] = _refuses_no_images

    def check(self) -> None:
        """Raises InputError where the function has another signature."""
        what = f"model {self.name!r}"
        positional = ("sizes", "widths", "noises")
        if declared := check_signature(what, self.networks, *positional):
            raise InputError(
                f"{what} has no hyperparameters, its sizes are those of the model's table; got "
                f"{', '.join(declared)}: remove them"
            )


MODELS: Registry[Model] = Registry("model")
Builder = TypeVar("Builder", bound=Callable[[Sizes, Sequence[int], Iterator[Noise]], Networks])


@named_arguments
def model(
    *,
    refuses_widths: Callable[[Sequence[int]], str] = _refuses_no_widths,
    refuses_images: Callable[[ImageShape, Sequence[int]], str] = _refuses_no_images,
) -> Callable[[Builder], Builder]:
    """Register the decorated builder of networks under its own name, with the fields of Model.

    Raises InputError where the function has another signature.
    """
    return registers(
        MODELS,
        lambda name, networks: Model(
            name, networks, refuses_widths=refuses_widths, refuses_images=refuses_images
        ),
    )
