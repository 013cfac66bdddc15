"""What is read of stored images: the same bits by C and by PyTorch; the laws of what is drawn."""

import pytest
import torch

from vaebench.ops import c
from vaebench.ops.images import BINARISED, DEQUANTISED, GREY, THRESHOLD, Reading, read
from vaebench.ops.noise import Noise, uniforms, uniforms_of, words_of_rows

NOISE = Noise((0x1234_5678_9ABC_DEF0,), step=3)
WORDS = torch.tensor([[0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]])


def stored_as(dtype, num, num_pixels):
    generator = torch.Generator().manual_seed(num_pixels)
    x = torch.randint(256, (num, num_pixels), generator=generator, dtype=torch.uint8)
    x[:, ::3] = torch.where(x[:, ::3] < 128, 0, 255)  # some quads are black and white
    x[: num // 2, :8] = 0
    return x if dtype == torch.uint8 else x / 255.0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("rule", [GREY, THRESHOLD, BINARISED, DEQUANTISED])
@pytest.mark.parametrize("num_pixels", [1, 3, 16, 65, 784])
def test_c_and_pytorch_read_the_same_numbers(monkeypatch, num_pixels, rule, dtype):
    stored, reading = stored_as(dtype, 40, num_pixels), Reading(255.0, rule, NOISE)
    rows = torch.randint(40, (90,), generator=torch.Generator().manual_seed(0))
    numbers = read(stored, reading, rows)
    monkeypatch.setattr(c, "library", lambda: None)
    assert torch.equal(read(stored, reading, rows), numbers)


@pytest.mark.parametrize("rule", [BINARISED, DEQUANTISED])
def test_an_image_has_its_draws_in_any_order_and_company(rule):
    stored, reading = stored_as(torch.uint8, 40, 37), Reading(255.0, rule, NOISE)
    whole = read(stored, reading, torch.arange(40))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read(stored, reading, order), whole[order])
    assert torch.equal(read(stored, reading, torch.tensor([7])), whole[7:8])
    other = read(stored, reading._replace(noise=NOISE.at(step=4)), torch.arange(40))
    assert not torch.equal(other, whole)


def test_the_words_are_those_of_the_streams():
    words = words_of_rows(NOISE, torch.arange(5, 9), 11)
    assert torch.equal(uniforms_of(words), uniforms(NOISE.at(row=5), 4, 11)[0])


def test_black_and_white_stay_and_greys_have_their_probability():
    """Each of 254 levels drawn 40,000 times: 4.2 standard errors, which one of them exceeds with
    probability 0.007. Chi-square of all: within 5 standard deviations of its mean, 254."""
    levels = torch.arange(256, dtype=torch.uint8)
    stored = levels.expand(40_000, 256).contiguous()
    bits = read(stored, Reading(255.0, BINARISED, NOISE), torch.arange(len(stored)))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    share, p = bits.double().mean(0), levels.double() / 255
    assert (float(share[0]), float(share[255])) == (0.0, 1.0)
    z = ((share - p) / (p * (1 - p) / len(stored)).sqrt())[1:-1]
    assert float(z.abs().max()) < 4.2
    assert abs(float(z.square().sum()) - 254) < 5 * (2 * 254) ** 0.5
    assert float(torch.corrcoef(bits[:, 96:160].T).fill_diagonal_(0).abs().max()) < 5 / 200


def test_the_ends_of_the_words_do_not_move_black_and_white():
    for x in (0.0, 1.0):
        assert BINARISED.formula(torch.full((1, 6), x), WORDS).unique().tolist() == [x]


def test_dequantised_images_stay_in_the_bins_of_their_levels():
    """Also where a word is the least or the greatest that there is."""
    for k in range(256):
        y = DEQUANTISED.formula(torch.full((1, 6), k / 255), WORDS).double()
        assert 0.0 < float(y.min()) < float(y.max()) < 1.0
        assert k <= 256 * float(y.min())
        assert 256 * float(y.max()) <= k + 1
