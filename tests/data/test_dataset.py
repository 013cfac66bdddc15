"""Data sets: ranges, splits, binarisation, fingerprints, and every way they can be wrong."""

import numpy as np
import pytest
import torch

from vaebench.core.errors import InputError
from vaebench.data import load

GOOD = {
    "x_train": np.random.default_rng(0).random((30, 4, 4)).astype(np.float32),
    "x_test": np.random.default_rng(1).random((10, 4, 4)).astype(np.float32),
}


def saved(folder, **arrays):
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def test_digits_are_split_without_overlap():
    digits = load("digits", "none")
    parts = (digits.train, digits.valid, digits.test)
    assert [len(part.x) for part in parts] == [1197, 240, 360]
    everything = torch.cat([part.x for part in parts])
    assert len(everything.unique(dim=0)) == 1797
    assert everything.min() == 0
    assert everything.max() == 1
    assert digits.image_shape == (8, 8)


def test_split_depends_on_its_seed_and_fraction():
    a, b = load("digits", "none"), load("digits", "none", None, 1)
    assert not torch.equal(a.valid.x, b.valid.x)
    assert torch.equal(a.test.x, b.test.x)
    assert len(load("digits", "none", 0.5).valid.x) == 718


def test_binarisations():
    grey = load("digits", "none").train.x
    assert torch.equal(load("digits", "threshold").observe("train"), (grey > 0.5).float())
    dynamic = load("digits", "dynamic")
    draws = torch.stack([dynamic.observe("train", epoch) for epoch in range(400)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    error = (grey * (1 - grey) / 400).sqrt()
    assert ((draws.mean(0) - grey).abs() <= 5.5 * error + 1e-6).all()  # 76,608 pixels at once
    assert torch.equal(draws[3], dynamic.observe("train", 3))
    assert not torch.equal(draws[3], draws[4])


def test_digits_are_images_of_8_bits():
    digits = load("digits", "none")
    levels = 255 * digits.train.x
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert levels.round().unique().tolist() == [round(255 * k / 16) for k in range(17)]


def test_dequantised_images_fill_the_bins_of_their_levels():
    grey, digits = load("digits", "none"), load("digits", "none", dequantise=True)
    levels = (255 * grey.train.x).round()
    draws = torch.stack([256 * digits.observe("train", epoch) - levels for epoch in range(400)])
    assert draws.dtype == torch.float32
    assert (draws >= 0).all()
    assert (draws <= 1).all()
    # The mean of 400 uniforms has a standard error of (1 / 4800)^(1/2); 76,608 pixels at once.
    assert ((draws.mean(0) - 0.5).abs() < 5.5 * (1 / 4800) ** 0.5).all()
    assert float(draws.var()) == pytest.approx(1 / 12, rel=2e-3)
    assert torch.equal(digits.train.x, grey.train.x)
    assert digits.fingerprint == grey.fingerprint


def test_dequantisation_is_drawn_for_each_epoch_and_part_and_shared():
    digits = load("digits", "none", dequantise=True)
    assert torch.equal(digits.observe("train", 3), digits.observe("train", 3))
    assert not torch.equal(digits.observe("train", 3), digits.observe("train", 4))
    noise = [(256 * digits.observe(part) % 1)[:240].flatten() for part in ("valid", "test")]
    assert torch.stack(noise).corrcoef()[0, 1].abs() < 0.05


def test_log_volume_turns_a_density_into_a_bound_on_a_probability():
    """Jensen: exp E_u[log p(y)] / 256 is at most the mass of a bin, and near it where p is flat."""
    digits = load("digits", "none", dequantise=True)
    assert digits.log_volume == pytest.approx(64 * np.log(256))
    assert load("digits", "none").log_volume == 0.0
    u = (torch.arange(1000).double() + 0.5) / 1000
    y = (torch.arange(256).double().unsqueeze(-1) + u) / 256
    law = torch.distributions.Beta(2.0, 5.0)
    bound = (law.log_prob(y).mean(-1) - digits.log_volume / digits.num_pixels).exp()
    mass = law.log_prob(y).exp().mean(-1) / 256
    assert (bound <= mass).all()
    assert 0.999 < float(bound.sum()) < float(mass.sum()) == pytest.approx(1.0, abs=1e-6)


def test_dequantisation_is_refused_where_it_means_nothing(tmp_path):
    with pytest.raises(InputError, match=r"grey images; 'digits' has binarisation 'dynamic'"):
        load("digits", "dynamic", dequantise=True)
    with pytest.raises(InputError, match="on the 256 levels k/255; 'mine' has others: store"):
        load(saved(tmp_path, **GOOD), "none", dequantise=True)


def test_fingerprint_is_of_the_bytes(tmp_path):
    first = load(saved(tmp_path, **GOOD), "none").fingerprint
    changed = {**GOOD, "x_test": GOOD["x_test"].copy()}
    changed["x_test"][3, 1, 1] += 1e-3 if changed["x_test"][3, 1, 1] < 0.5 else -1e-3
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    assert load(saved(tmp_path / "b", **GOOD), "none").fingerprint == first
    assert load(saved(tmp_path / "c", **changed), "none").fingerprint != first


def test_uint8_images_are_divided_by_255_unless_they_are_binary(tmp_path):
    grey = {name: np.round(255 * x).astype(np.uint8) for name, x in GOOD.items()}
    (tmp_path / "b").mkdir()
    loaded = load(saved(tmp_path, **grey), "none")
    torch.testing.assert_close(
        loaded.test.x, torch.from_numpy(GOOD["x_test"]).flatten(1), atol=0.003, rtol=0
    )
    binary = {name: (x > 0.5).astype(np.uint8) for name, x in GOOD.items()}
    loaded = load(saved(tmp_path / "b", **binary), "static")
    assert set(loaded.train.x.unique().tolist()) == {0.0, 1.0}


def with_(name, value):
    return {**GOOD, name: value}


def without(name):
    return {k: v for k, v in GOOD.items() if k != name}


NAN = np.where(np.arange(16).reshape(4, 4) == 3, np.nan, GOOD["x_train"]).astype(np.float32)
ONE_NAN = GOOD["x_test"].copy()
ONE_NAN[1, 2, 3] = np.inf
BAD = {
    "range": (
        with_("x_train", GOOD["x_train"] * 255),
        r"on one scale; x_train goes up to 254 and x_test to 0.996: rescale one",
    ),
    "nan": (with_("x_train", NAN), r"NaN or infinity in 30 of 30 examples, the first at index 0"),
    "one nan": (with_("x_test", ONE_NAN), r"in 1 of \d+ examples, the first at index 1: "),
    "empty": (with_("x_test", np.zeros((0, 4, 4), np.float32)), "must hold two images or more"),
    "no axes": (with_("x_test", np.zeros(4, np.float32)), r"store x.reshape\(-1, 1\)"),
    "shapes": (with_("x_test", np.zeros((5, 3, 3), np.float32)), "images of one shape"),
    "type": (with_("x_train", np.zeros((5, 4, 4), np.int32)), "must be uint8, bool or float"),
    "missing": (without("x_test"), "x_test is missing"),
    "labels": (with_("y_train", np.zeros(7, np.int64)), "one label per image; got 7 for 30"),
    "float labels": (with_("y_train", np.zeros(30)), "one integer per image"),
    "negative labels": (with_("y_train", np.arange(30) - 1), "classes from 0 to"),
    "one image": (with_("x_test", GOOD["x_test"][:1]), "two images or more"),
    "orphan labels": (with_("y_valid", np.zeros(3, np.int64)), "one label per image"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_arrays_are_named(tmp_path, fault):
    arrays, message = BAD[fault]
    with pytest.raises(InputError, match=message):
        load(saved(tmp_path, **arrays), "none")


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "mine.npz").write_text("hello")
    with pytest.raises(InputError, match=r"mine.npz must be an .npz of plain arrays"):
        load(str(tmp_path / "mine.npz"), "none")


def test_other_byte_orders_and_widths_are_read(tmp_path):
    foreign = {name: x.astype(">f8") for name, x in GOOD.items()}
    labels = {"y_train": np.arange(30, dtype=">i2"), "y_test": np.arange(10, dtype=np.uint16)}
    loaded = load(saved(tmp_path, **foreign, **labels), "none")
    torch.testing.assert_close(loaded.test.x, torch.from_numpy(GOOD["x_test"]).flatten(1))
    assert loaded.test.y.tolist() == list(range(10))


def test_other_numpy_files_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", GOOD["x_train"])
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"must be an .npz of plain arrays"):
        load(str(tmp_path / "x.npz"), "none")


def test_unknown_names_and_settings():
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        load("mnst", "none")
    with pytest.raises(InputError, match="there is none at"):
        load("./absent.npz", "none")
    with pytest.raises(InputError, match="'static' needs stored values of 0 and 1"):
        load("digits", "static")
    with pytest.raises(InputError, match="both parts of a split"):
        load("digits", "none", 1e-9)
