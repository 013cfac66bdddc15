"""Pictures side by side in one, as bytes, and as a PNG file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAP = 128
"""The grey of the line, one pixel wide, between neighbouring pictures."""

Pictures = NDArray[Any]
"""Bytes [..., height, width, 1 or 3]."""


def side_by_side(pictures: Pictures, gap: int = 1) -> Pictures:
    """Pictures [rows, columns, height, width, 1 or 3] as one, with lines between."""
    rows, columns, height, width, channels = pictures.shape
    tiles = np.full((rows, columns, height + gap, width + gap, channels), GAP, dtype=np.uint8)
    tiles[:, :, :height, :width] = pictures
    sheet = tiles.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def image_of(picture: Pictures) -> Any:
    """A picture [height, width, 1 or 3] as one of Pillow's, grey or in colour."""
    from PIL import Image

    return Image.fromarray(picture if picture.shape[-1] == 3 else picture[..., 0])


def png(picture: Pictures) -> bytes:
    """A picture [height, width, 1 or 3] as a small PNG file, a pixel for each pixel."""
    buffer = io.BytesIO()
    image_of(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
