"""Which values a data set may hold: the likelihood's support decides, a binarisation narrows it."""

import hashlib

import numpy as np
import pytest
import torch

from tests.support.runs import tiny
from vaebench.config.build import check_support
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.data import load

RANDOM = np.random.default_rng(0)
GREY = RANDOM.random((60, 4, 4)).astype(np.float32)
OVER = GREY.copy()
OVER[0, 0, 0] = np.float32(1.0000001)
STANDARDISED = (GREY - GREY.mean(0)) / GREY.std(0)
COUNTS = RANDOM.poisson(20 * GREY).astype(np.float32)
COUNTS[0, 0, 0] = 37.0
MOSTLY_DARK = 0.4 * GREY
MOSTLY_DARK[::12] *= 2.0


@pytest.fixture
def saved(tmp_path):
    """Writes images, a third of them as the test part, and gives the path."""

    def write(x, name="mine", **more):
        np.savez(
            tmp_path / f"{name}.npz", x_train=x[: len(x) * 2 // 3], x_test=x[len(x) * 2 // 3 :]
        )
        return str(tmp_path / f"{name}.npz")

    return write


def run(path, likelihood, binarisation="none", **changes):
    data = {"name": path, "binarisation": binarisation}
    (config,) = resolve([tiny(path, likelihood=likelihood, data=data, **changes)])
    return config


# ------------------------------------------------------------------ supports


@pytest.mark.parametrize("likelihood", ["gaussian_learned", "gaussian_per_pixel"])
@pytest.mark.parametrize("x", [OVER, STANDARDISED, COUNTS, 255 * GREY, GREY - 1e3])
def test_a_likelihood_of_real_numbers_takes_all(saved, x, likelihood):
    path = saved(x)
    run(path, likelihood)
    assert torch.equal(load(path, "none").test.x, torch.from_numpy(x[40:]).flatten(1))


REFUSED = {
    "a hair too large": (
        (OVER, "continuous_bernoulli", "none"),
        "needs x in [0, 1]; 'mine' (train) with binarisation 'none' has other values: scale the "
        "intensities to [0, 1], clip them, or choose a likelihood of real values (gaussian, "
        "laplace); its values go from 0.0003006901 to 1.0000001",
    ),
    "counts": (
        (COUNTS, "beta", "none"),
        "needs x in (0, 1), the ends excluded; 'mine' (train) with binarisation 'none' has other "
        "values: dequantise (data.dequantise = true)",
    ),
    "standardised": (
        (STANDARDISED, "discretised_logistic", "none"),
        "needs x on the 256 levels k/255; 'mine' (train)",
    ),
    "counts as bits": (
        (COUNTS, "bernoulli", "threshold"),
        "binarisation 'threshold' needs intensities in [0, 1]; 'mine' (train) has values from 0 to "
        "37: rescale or clip them, or set binarisation to none and choose a likelihood of such "
        "values",
    ),
    "standardised, drawn": (
        (STANDARDISED, "bernoulli", "dynamic"),
        "binarisation 'dynamic' needs intensities in [0, 1]; 'mine' (train) has values from -",
    ),
    "a hair too large, drawn": (
        (OVER, "bernoulli", "dynamic"),
        "'mine' (train) has values from 0.0003006901 to 1.0000001: rescale or clip them",
    ),
    "stored otherwise": (
        (COUNTS, "bernoulli", "static"),
        "binarisation 'static' needs stored values of 0 and 1; 'mine' has others",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_without_a_meaning_are_refused_with_their_range(saved, case):
    (x, likelihood, binarisation), expected = REFUSED[case]
    with pytest.raises(InputError) as caught:
        run(saved(np.roll(x, 1, 0)), likelihood, binarisation)
    assert expected in str(caught.value)


@pytest.mark.parametrize("x", [OVER, COUNTS])
def test_values_that_are_no_intensities_are_not_dequantised(saved, x):
    with pytest.raises(InputError, match=r"on the 256 levels k/255; 'mine' has others"):
        load(saved(x), "none", dequantise=True)


def test_a_support_is_asked_of_every_part_also_for_a_model_from_elsewhere(saved):
    """A value that only the validation part has, which the likelihood grading reads."""
    path = saved(GREY)
    data = load(path, "none")
    data.valid.images.stored[0, 0] = 1.5
    with pytest.raises(
        InputError,
        match=r"'mine' \(valid\) .* has other values: .* to 1\.5\. Likelihoods of such:",
    ):
        check_support(data, "continuous_bernoulli")
    data.valid.images.stored[0, 0] = 0.5
    check_support(data, "continuous_bernoulli")


def test_a_prior_made_of_images_needs_data_in_their_range(saved):
    with pytest.raises(
        InputError, match=r"prior 'vamp' needs data in \[0, 1\].*from 0 to 37: resc"
    ):
        run(saved(COUNTS), "gaussian_learned", prior="vamp", objective="elbo_mc")
    run(saved(GREY, "grey"), "gaussian_learned", prior="vamp", objective="elbo_mc")


def test_the_greys_of_a_sheet_are_those_of_the_data(saved):
    assert load(saved(GREY), "none").greys == (0.0, 1.0)
    low, high = load(saved(STANDARDISED, "other"), "none").greys
    x = torch.from_numpy(STANDARDISED[:40])
    assert float(x.min()) <= low < -1.0
    assert 1.0 < high <= float(x.max())


# ------------------------------------------------------------------ types


def test_bool_images_are_0_and_1(saved):
    bits = GREY > 0.5
    data = load(saved(bits), "static")
    assert torch.equal(data.test.x, torch.from_numpy(bits[40:]).flatten(1).float())
    run(saved(bits), "bernoulli", "static")


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, ">f4"])
def test_floats_of_every_width_are_taken(saved, dtype):
    x = GREY.astype(dtype)
    expected = torch.from_numpy(x[40:].astype(np.float32)).flatten(1)
    assert torch.equal(load(saved(x), "none").test.x, expected)


def test_bits_beside_8_bits_are_refused(tmp_path):
    """0 and 1 in one part, 0 and 255 in the other: both uint8, and 1 is not white here."""
    bits = (GREY > 0.5).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=255 * bits, x_test=bits)
    with pytest.raises(InputError, match="on one scale; x_train goes up to 255 and x_test to 1:"):
        load(str(tmp_path / "mine.npz"), "none")


@pytest.mark.parametrize(
    "x", [np.round(255 * GREY).astype(np.uint8), GREY.astype(">f8"), np.asfortranarray(GREY)]
)
def test_the_fingerprint_is_that_of_the_whole_bytes(saved, monkeypatch, x):
    """Whatever the chunks: records know data sets by it."""
    monkeypatch.setattr("vaebench.data.arrays.CHUNK_BYTES", 100)
    digest = hashlib.sha256()
    for name, part in (("x_test", x[40:]), ("x_train", x[:40])):
        digest.update(f"{name} {x.dtype.str} {part.shape} ".encode() + part.tobytes("C"))
    data = load(saved(x), "none")
    assert data.fingerprint == digest.hexdigest()[:16]
    scale = 255 if x.dtype == np.uint8 else 1
    assert torch.equal(data.test.x, torch.tensor(x[40:].astype(np.float32)).flatten(1) / scale)


def test_the_fingerprint_of_the_digits_stays():
    assert load("digits", "none").fingerprint == "24ee3729a4d75509"


# ------------------------------------------------------------------ blank images

ALIKE = np.where(np.arange(16).reshape(4, 4) < 5, 0.6 + 0.4 * GREY, 0.4 * GREY)
BLANK = {
    "dark": (
        (0.4 * GREY, "threshold"),
        "'mine' (train) 33 of 33 images come out all black or all white, all the same: 0% of the "
        "pixels are white, of intensities from ",
        "Rescale them, so that 0.5 lies between dark and bright, or take 'dynamic'",
    ),
    "bright": (
        (0.6 + 0.4 * GREY, "threshold"),
        "33 of 33 images come out all black or all white, all the same: 100% of the pixels are",
        "Rescale them",
    ),
    "mostly dark": (
        (MOSTLY_DARK, "threshold"),
        " images come out all black or all white: ",
        "Rescale them",
    ),
    "all alike": (
        (ALIKE, "threshold"),
        "'mine' (train) 0 of 33 images come out all black or all white, all the same: 31.2% of the",
        "Rescale them",
    ),
    "8 bits divided twice": (
        (GREY / 255, "dynamic"),
        " images come out all black or all white: 0.",
        "Rescale them to fill [0, 1], or choose a likelihood of grey values",
    ),
}


@pytest.mark.parametrize("case", BLANK)
def test_images_that_a_binarisation_leaves_blank_are_refused(saved, case):
    (x, binarisation), *expected = BLANK[case]
    with pytest.raises(InputError) as caught:
        load(saved(x), binarisation)
    for words in (f"binarisation {binarisation!r} must leave something to learn", *expected):
        assert words in str(caught.value)


def test_a_part_alone_that_comes_out_blank_is_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=GREY, x_test=0.4 * GREY)
    with pytest.raises(InputError, match=r"of 'mine' \(test\) 60 of 60 images come out all black"):
        load(str(tmp_path / "mine.npz"), "threshold")


def test_some_blank_images_are_no_fault(saved):
    x = GREY.copy()
    x[::3] *= 0.4
    assert load(saved(x), "threshold").observe("train").mean() > 0.2
    load(saved(0.4 * GREY, "dark"), "dynamic")
    load(saved(GREY[:, :1, :1], "one pixel"), "threshold")
