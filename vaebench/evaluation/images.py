"""Sheets of images as PNG files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vaebench.data import colour_axis

MIN_SIDE = 512
GAP = 0.5
"""Intensity of the line, one pixel wide, between neighbouring images."""

Pictures = NDArray[Any]
"""[n, height, width, 1 or 3]."""


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
    x = ((images - black) / (white - black)).clamp(0, 1).numpy()
    sheet = _tiled(_pictures(x.reshape(len(x), *image_shape)), gap=1)
    pixels = np.round(255 * sheet).astype(np.uint8)
    picture = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
    scale = -(-MIN_SIDE // max(picture.size))
    size = (picture.width * scale, picture.height * scale)
    stated = PngImagePlugin.PngInfo()
    if greys != (0.0, 1.0):
        stated.add_text("Description", f"black is {black:g}, white is {white:g}")
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG", pnginfo=stated)
    return buffer.getvalue()


def _pictures(x: NDArray[Any]) -> Pictures:
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
    tiles = np.full(
        (rows * columns, height + gap, width + gap, channels), GAP, dtype=pictures.dtype
    )
    tiles[:num, :height, :width] = pictures
    tiles = tiles.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    sheet = tiles.reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]
