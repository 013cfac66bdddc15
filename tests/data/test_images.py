"""Images are read from the type that they are stored in, without a copy of the whole as float32."""

import numpy as np
import pytest
import torch

from vaebench.data import load
from vaebench.data.images import Images, span, unit
from vaebench.ops.images import THRESHOLD, Reading
from vaebench.ops.noise import Noise

BYTES = torch.randint(256, (50, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
GREY = Images(BYTES, Reading(255.0))
EXPECTED = BYTES.float() / 255.0
NOISE = Noise((7,))
REAL = torch.randn(50, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("images", "expected"),
    [(GREY, EXPECTED), (Images(REAL), REAL), (Images(BYTES, Reading(1.0)), BYTES.float())],
)
@pytest.mark.parametrize("rows", [slice(None), slice(3, 9), slice(0), torch.tensor([4, 4, 49, 0])])
def test_some_rows_are_those_of_the_whole(images, expected, rows):
    assert images[rows].dtype == torch.float32
    assert torch.equal(images[rows], expected[rows])


@pytest.mark.parametrize("images", [GREY, Images(REAL)])
def test_what_is_read_is_a_copy(images):
    before = images.whole()
    for rows in (images[:], images[:1], images[torch.arange(50)], *images.chunks()):
        rows.fill_(9.0)
    images.whole().fill_(9.0)
    assert torch.equal(images.whole(), before)


def test_chunks_are_all_rows_in_order(monkeypatch):
    monkeypatch.setattr("vaebench.data.arrays.CHUNK_BYTES", 4 * 7 * 8)
    assert [len(chunk) for chunk in GREY.chunks()] == [8, 8, 8, 8, 8, 8, 2]
    assert torch.equal(torch.cat(list(GREY.chunks())), EXPECTED)
    assert torch.equal(GREY.whole(torch.float64), EXPECTED.double())


def test_a_threshold_reads_the_same_bytes():
    bits = GREY.observed(THRESHOLD, NOISE)
    assert bits.stored is GREY.stored
    assert torch.equal(bits[:], (EXPECTED > 0.5).float())
    assert torch.equal(Images(REAL).observed(THRESHOLD, NOISE)[:], (REAL > 0.5).float())


def test_images_follow_the_precision_of_a_model():
    assert torch.equal(GREY.to(torch.zeros((), dtype=torch.float64))[:], EXPECTED.double())
    assert torch.equal(Images(REAL).to(torch.zeros((), dtype=torch.float64))[:], REAL.double())
    assert Images(REAL).to(torch.zeros(())).stored is REAL


def test_extremes_are_those_of_the_numbers():
    assert GREY.extremes() == (EXPECTED.min(), EXPECTED.max())
    assert (unit(GREY), unit(Images(REAL))) == (True, False)
    assert span(Images(BYTES[:1] * 0 + 51, Reading(255.0))) == "from 0.2 to 0.2"


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
@pytest.mark.parametrize("binarisation", ["static", "threshold"])
def test_bytes_stay_bytes(tmp_path, dtype, binarisation):
    bits = np.random.default_rng(0).random((30, 4, 4)) > 0.5
    np.savez(tmp_path / "x.npz", x_train=bits[:20].astype(dtype), x_test=bits[20:].astype(dtype))
    data = load(str(tmp_path / "x.npz"), binarisation)
    assert {part.images.stored.dtype for part in (data.train, data.valid, data.test)} == {
        torch.uint8
    }
    assert data.observations("test").stored is data.test.images.stored
    assert torch.equal(data.observe("test"), torch.from_numpy(bits[20:]).flatten(1).float())


def test_users_never_hold_the_memory_of_the_data_set():
    for binarisation in ("none", "threshold"):
        data = load("digits", binarisation)
        before = data.train.x
        data.train.x.zero_()
        data.observe("train").zero_()
        assert torch.equal(data.train.x, before)
        assert torch.equal(load("digits", "none").train.x, before)
