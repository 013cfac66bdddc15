"""Sheets of images as PNG files."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaebench.core.tiles import GAP, Pictures, image_of, side_by_side
from vaebench.data import colour_axis

MIN_SIDE = 512


def shades(x: Tensor, greys: tuple[float, float] = (0.0, 1.0)) -> NDArray[Any]:
    """Intensities as bytes, from what is drawn black to what is drawn white, clipped beyond."""
    black, white = greys
    levels = (255 * ((x - black) / (white - black)).nan_to_num(0.0).clamp(0, 1)).round()
    return levels.to(torch.uint8).numpy()


def grid_png(
    images: Tensor, image_shape: tuple[int, ...], greys: tuple[float, float] = (0.0, 1.0)
) -> bytes:
    """A sheet of images [n, P], about as wide as high, its longer side at least 512 screen pixels.

    `image_shape` is that of the stored images: [H, W], or with 1 or 3 channels last or first, in
    colour. For other shapes each plane is drawn, one beside the other: of the first two axes where
    there is a short third one, else of the last two; and of a vector each number is a pixel, row by
    row in about a square. `greys` are the values that are drawn black and white; values beyond them
    are clipped. Where they are not 0 and 1, the file says them in its `Description`.
    """
    from PIL import Image, PngImagePlugin

    black, white = greys
    x = shades(images, greys).reshape(len(images), *image_shape)
    picture = image_of(_tiled(pictures_of(x), gap=1))
    scale = -(-MIN_SIDE // max(picture.size))
    size = (picture.width * scale, picture.height * scale)
    stated = PngImagePlugin.PngInfo()
    if greys != (0.0, 1.0):
        stated.add_text("Description", f"black is {black:g}, white is {white:g}")
    buffer = io.BytesIO()
    large = picture.resize(size, Image.Resampling.NEAREST)
    large.save(buffer, "PNG", pnginfo=stated, compress_type=zlib.Z_RLE)  # pixels are repeated
    return buffer.getvalue()


def pictures_of(x: NDArray[Any]) -> Pictures:
    """Images [n, *image_shape], each as one picture."""
    axis = colour_axis(x.shape[1:])
    if axis is not None and x.shape[1:][axis] == 3:
        return np.moveaxis(x, axis if axis else 1, -1)
    if x.ndim == 4 and x.shape[-1] < min(x.shape[1:3]):
        x = np.moveaxis(x, -1, 1)
    sides = [side for side in x.shape[1:] if side > 1]
    height, width = sides[-2:] if len(sides) > 1 else (1, 1)
    planes = x.reshape(len(x), -1, height, width, 1)
    if planes.shape[1] == 1:
        return planes[:, 0]
    return np.stack([_tiled(of_one, gap=int(height > 1)) for of_one in planes])


def _tiled(pictures: Pictures, gap: int) -> NDArray[Any]:
    """Pictures row by row in about a square, lines between them: [height, width, 1 or 3]."""
    num, height, width, channels = pictures.shape
    columns = min(num, max(1, round((num * height / width) ** 0.5)))
    rows = -(-num // columns)
    filled = np.full((rows * columns, height, width, channels), GAP, dtype=pictures.dtype)
    filled[:num] = pictures
    return side_by_side(filled.reshape(rows, columns, *filled.shape[1:]), gap)
