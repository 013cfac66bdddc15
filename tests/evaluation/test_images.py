"""Sheets of sample images: readable for every shape of stored images."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from vaebench.evaluation.images import grid_png


def sheet(x, shape, **greys):
    """The drawn pixels [H, W] or [H, W, 3], scaled back, and the picture."""
    picture = Image.open(io.BytesIO(grid_png(x.flatten(1), shape, **greys)))
    return np.asarray(picture), picture


@pytest.mark.parametrize(
    "shape",
    [
        *((8, 8), (8, 8, 1), (8, 8, 3), (1, 8, 8), (3, 8, 8), (28, 20), (64,), (784,), (17,), (1,)),
        *((1, 784), (784, 1), (1, 1, 784), (2, 28, 28), (28, 28, 2), (5, 6, 7), (4, 4, 4, 4)),
        *((2, 500), (500, 2), (1, 2, 3, 4), (3, 3, 3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("num", [1, 40, 64])
def test_a_sheet_of_any_shape_is_no_strip(shape, num):
    picture = sheet(torch.rand(num, math.prod(shape)), shape)[1]
    assert max(picture.size) >= 512
    if num > 1 and 500 not in shape:  # 64 lines of 500 pixels are as they are
        assert max(picture.size) <= 3 * min(picture.size)
    assert max(picture.size) <= 16 * min(picture.size) or num == 1


def test_channels_first_are_drawn_as_channels_last():
    x = torch.rand(9, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    last = grid_png(x.flatten(1), (4, 5, 3))
    assert grid_png(x.movedim(-1, 1).flatten(1), (3, 4, 5)) == last
    assert Image.open(io.BytesIO(last)).mode == "RGB"
    grey = x[..., :1]
    assert grid_png(grey.movedim(-1, 1).flatten(1), (1, 4, 5)) == grid_png(grey.flatten(1), (4, 5))


def test_every_image_is_in_its_place():
    """Two by two of 2x2 pixels, a grey line between: row by row."""
    x = torch.arange(16).reshape(4, 2, 2) / 15
    drawn, picture = sheet(x, (2, 2))
    scale = picture.width // 5
    small = drawn[scale // 2 :: scale, scale // 2 :: scale]
    levels = np.round(255 * x.numpy()).astype(np.uint8)
    expected = np.full((5, 5), 128, np.uint8)
    expected[:2, :2], expected[:2, 3:], expected[3:, :2], expected[3:, 3:] = levels
    assert np.array_equal(small, expected)


def test_a_vector_is_read_row_by_row():
    drawn, picture = sheet(torch.arange(9)[None] / 8, (9,))
    scale = picture.width // 3
    levels = np.round(255 * np.arange(9) / 8).astype(np.uint8)
    assert np.array_equal(drawn[scale // 2 :: scale, scale // 2 :: scale], levels.reshape(3, 3))


def test_planes_stand_beside_one_another():
    x = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)], 1)
    first, last = (
        grid_png(x.flatten(1), (2, 8, 8)),
        grid_png(x.movedim(1, -1).flatten(1), (8, 8, 2)),
    )
    assert first == last


def test_the_range_of_grey_is_stated_in_the_file():
    x = torch.tensor([[-2.0, 0.0, 1.0, 6.0]])
    drawn, picture = sheet(x, (2, 2), greys=(-2.0, 2.0))
    assert picture.info["Description"] == "black is -2, white is 2"
    assert [drawn[0, 0], drawn[0, -1], drawn[-1, 0], drawn[-1, -1]] == [0, 128, 191, 255]
    assert "Description" not in sheet(x, (2, 2))[1].info


@pytest.mark.parametrize(
    ("shape", "mode"), [((4, 3), "L"), ((4, 3, 1), "L"), ((2, 2, 3), "RGB"), ((12,), "L")]
)
def test_grid_is_a_png_of_every_image_shape(shape, mode):
    import io

    from PIL import Image

    pixels = 1
    for side in shape:
        pixels *= side
    picture = Image.open(io.BytesIO(grid_png(torch.rand(9, pixels) * 3 - 1, shape)))
    assert picture.mode == mode
    assert max(picture.size) >= 512
