"""Convolutions as products of patches: those of PyTorch, forward and backward."""

import pytest
import torch

from vaebench.training.stepping.compiled import convolutions
from vaebench.training.stepping.compiled.convolutions import replacements

ATEN = torch.ops.aten
SIZES = [(8, 8), (7, 8), (5, 7), (28, 28)]
ALL = [True, True, True]


def close(mine, theirs):
    assert mine.is_contiguous()
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    return lambda *sizes: torch.randn(*sizes, generator=generator)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_products_of_patches_are_the_convolution_and_its_gradients(size, transposed, drawn):
    small = [side // 2 for side in size]
    odd = [side % 2 for side in size] if transposed else [0, 0]
    x = drawn(3, 5, *small) if transposed else drawn(3, 2, *size)
    weight, bias = drawn(5, 2, 4, 4), drawn(2 if transposed else 5)
    settings = [2, 2], [1, 1], [1, 1], transposed, odd, 1
    ours = replacements(torch.bmm)
    theirs = ATEN.convolution(x, weight, bias, *settings)
    assert list(theirs.shape[2:]) == (list(size) if transposed else small)
    close(ours[ATEN.convolution.default](x, weight, bias, *settings), theirs)

    gradient = drawn(*theirs.shape)
    arguments = gradient, x, weight, list(bias.shape), *settings, ALL
    expected = ATEN.convolution_backward(*arguments)
    for mine, one in zip(
        ours[ATEN.convolution_backward.default](*arguments), expected, strict=True
    ):
        close(mine, one)


def test_what_is_not_asked_for_is_not_computed(drawn):
    """The gradient of the images, for one."""
    backward = replacements(torch.bmm)[ATEN.convolution_backward.default]
    settings = [2, 2], [1, 1], [1, 1], False, [0, 0], 1
    arguments = drawn(3, 5, 4, 4), drawn(3, 2, 8, 8), drawn(5, 2, 4, 4), [5], *settings
    assert backward(*arguments, [False, False, False]) == (None, None, None)


@pytest.mark.parametrize(
    ("x", "weight", "stride", "groups"),
    [
        (torch.ones(1, 2, 8, 8, dtype=torch.float64), torch.ones(3, 2, 4, 4), 2, 1),
        (torch.ones(1, 2, 8, 8), torch.ones(3, 2, 3, 3), 2, 1),
        (torch.ones(1, 2, 8, 8), torch.ones(3, 2, 4, 4), 1, 1),
        (torch.ones(1, 2, 8, 8), torch.ones(2, 1, 4, 4), 2, 2),
    ],
    ids=["float64", "kernel", "stride", "groups"],
)
def test_other_convolutions_are_left_to_pytorch(x, weight, stride, groups):
    convolution = replacements(torch.bmm)[ATEN.convolution.default]
    settings = [stride, stride], [1, 1], [1, 1], False, [0, 0], groups
    assert convolution(x, weight, None, *settings) is NotImplemented


@pytest.mark.parametrize(("limit", "most"), [("MOST_NUMBERS", 16 * 2 * 16), ("MOST_PATCHES", 16)])
def test_large_ones_are_left_to_pytorch(monkeypatch, limit, most):
    convolution = replacements(torch.bmm)[ATEN.convolution.default]
    x, weight = torch.ones(1, 2, 8, 8), torch.ones(3, 2, 4, 4)
    settings = [2, 2], [1, 1], [1, 1], False, [0, 0], 1
    assert most < getattr(convolutions, limit)
    monkeypatch.setattr(convolutions, limit, most)
    assert isinstance(convolution(x, weight, None, *settings), torch.Tensor)
    monkeypatch.setattr(convolutions, limit, most - 1)
    assert convolution(x, weight, None, *settings) is NotImplemented
