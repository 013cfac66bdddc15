"""Images as PNG."""

from __future__ import annotations

import io

import numpy as np
from torch import Tensor

MIN_SIDE = 512
GAP = 0.5
"""Intensity of the line, one pixel wide, between neighbouring images."""


def grid_png(images: Tensor, image_shape: tuple[int, ...]) -> bytes:
    """A square grid of the first images [n, P], clipped to [0, 1], at least 512 screen pixels wide.

    image_shape is (height, width), with a third axis for colour channels; anything else is drawn
    as one row of pixels.
    """
    from PIL import Image

    height, width, channels = _drawn_shape(image_shape)
    side = int(len(images) ** 0.5)
    tiles = images[: side * side].clamp(0, 1).numpy().reshape(side, side, height, width, channels)
    framed = np.pad(tiles, [(0, 0), (0, 0), (0, 1), (0, 1), (0, 0)], constant_values=GAP)
    sheet = framed.swapaxes(1, 2).reshape(side * (height + 1), side * (width + 1), channels)
    pixels = np.round(255 * sheet[:-1, :-1]).astype(np.uint8)
    picture = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    scale = -(-MIN_SIDE // picture.width)
    size = (picture.width * scale, picture.height * scale)
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def _drawn_shape(image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    match image_shape:
        case (height, width):
            return height, width, 1
        case (height, width, 1 | 3 as channels):
            return height, width, channels
        case _:
            return 1, int(np.prod(image_shape)), 1
