"""Write the drawn shapes in colour: `python -m benchmarks.data.colour_shapes FILE.npz`.

Each shape of the data set `shapes` in one of six hues, 8-bit RGB [N, 16, 16, 3]; the hue, drawn for
each image, is a factor of variation beside those of the shapes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.data.shapes import shapes
from vaebench.ops.noise import Noise, key, uniforms

HUES = np.array(
    [(230, 60, 60), (230, 200, 50), (70, 190, 80), (60, 190, 200), (70, 90, 220), (200, 80, 200)]
)
"""Colours [6, 3] of the shapes, on black."""


def coloured(grey: NDArray[np.uint8], hue: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images [N, H, W] of 0 to 255 times the colour of each [N]: [N, H, W, 3]."""
    return np.rint(grey[..., None] / 255.0 * HUES[hue][:, None, None, :]).astype(np.uint8)


def colour_shapes() -> dict[str, NDArray[Any]]:
    """Training and test part, the shapes' own, with labels and factors."""
    parts: dict[str, NDArray[Any]] = {}
    stored = shapes().parts
    for part in ("train", "test"):
        grey, factors = stored[f"x_{part}"], stored[f"factors_{part}"]
        drawn = uniforms(Noise((key("colour shapes", part),)), len(grey), 1)[0, :, 0].numpy()
        hue = (drawn * len(HUES)).astype(np.int64)
        parts[f"x_{part}"] = coloured(grey, hue)
        parts[f"y_{part}"] = stored[f"y_{part}"]
        parts[f"factors_{part}"] = np.column_stack([factors, hue])
    return parts


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, **colour_shapes())
