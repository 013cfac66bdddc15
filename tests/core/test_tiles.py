"""Pictures side by side: every pixel in its place, and lines between."""

import io

import numpy as np
import pytest
from PIL import Image

from vaebench.core.tiles import GAP, png, side_by_side


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_in_rows_and_columns_with_lines_between(channels):
    pictures = np.arange(2 * 3 * 2 * 2 * channels, dtype=np.uint8).reshape(2, 3, 2, 2, channels)
    whole = side_by_side(pictures)
    assert whole.shape == (5, 8, channels)
    for row in range(2):
        for column in range(3):
            place = whole[3 * row : 3 * row + 2, 3 * column : 3 * column + 2]
            assert np.array_equal(place, pictures[row, column])
    assert (whole[2] == GAP).all() and (whole[:, 2::3] == GAP).all()
    assert side_by_side(pictures, gap=0).shape == (4, 6, channels)
    read = np.asarray(Image.open(io.BytesIO(png(whole)))).reshape(whole.shape)
    assert np.array_equal(read, whole), "a file has the same pixels"
