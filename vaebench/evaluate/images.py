"""Images as PNG."""

from __future__ import annotations

import io

import numpy as np
from torch import Tensor

MIN_SIDE = 256


def grid_png(images: Tensor, image_shape: tuple[int, ...]) -> bytes:
    """A square grid of the first images [n, P], clipped to [0, 1], at least 256 screen pixels wide.

    image_shape is (height, width), with a third axis for colour channels; anything else is drawn
    as one row of pixels.
    """
    from PIL import Image

    height, width, channels = _drawn_shape(image_shape)
    side = int(len(images) ** 0.5)
    tiles = images[: side * side].clamp(0, 1).numpy().reshape(side, side, height, width, channels)
    sheet = tiles.swapaxes(1, 2).reshape(side * height, side * width, channels)
    pixels = np.round(255 * sheet).astype(np.uint8)
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
