"""Products that leave out zeros: the bits of those that do not."""

import pytest
import torch

from tests.ops.c.test_product import (
    factors,
    needs_native,
    plain,
    product,
    random,
    spread,
    transposed,
)

SHAPES = [
    *((64, 128, 64), (64, 64, 128), (320, 64, 128), (128, 400, 784), (12, 784, 400)),
    *((1, 64, 1), (7, 65, 63), (65, 127, 65), (130, 200, 129), (63, 300, 257)),
]
"""Around the 64 rows and columns that are looked at together, and what registers hold."""
SHARES = 0.0, 0.2, 0.5, 0.7, 0.9
"""Shares of the numbers that are not 0: with the first ones it pays to leave the others out."""


def with_zeros(shape, share):
    a, b = factors(*shape)
    is_kept = random(*a.shape, seed=2).abs().argsort(-1).argsort(-1) < share * a.shape[2]
    return torch.where(is_kept, a, 0.0), b


@needs_native
@pytest.mark.parametrize("layout", [plain, transposed])
@pytest.mark.parametrize("share", SHARES)
def test_a_product_without_zeros_has_the_bits_of_one_with_them(layout, share):
    for shape in SHAPES:
        a, b = with_zeros(shape, share)
        assert torch.equal(product(layout(a), b), product(spread(a), b))  # that looks for none


@needs_native
@pytest.mark.parametrize("layout", [plain, transposed])
def test_zeros_are_left_out_where_there_are_many(layout):
    """Seen by what they would be multiplied with: 0 times infinity is no number."""
    a, b = with_zeros((64, 128, 64), 0.3)
    a[:, :, 5], b[:, 5] = 0.0, torch.inf
    assert product(layout(a), b).isfinite().all()
    assert product(spread(a), b).isnan().all()


@needs_native
@pytest.mark.parametrize("layout", [plain, transposed])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_is_not_taken_for_zero(layout, bad):
    a, b = with_zeros((65, 128, 70), 0.2)
    a[1, 3, 69] = bad
    computed = product(layout(a), b)
    assert not computed[1, 3].isfinite().any()
    computed[1, 3] = 0.0
    assert computed.isfinite().all()
