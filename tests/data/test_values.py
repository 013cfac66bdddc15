"""What the numbers of a data set are declared to be, and how they are read."""

import numpy as np
import pytest
import torch

from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.data import load

RANDOM = np.random.default_rng(0)
COUNTS = RANDOM.poisson(3.0, (30, 5))
BITS = RANDOM.integers(0, 2, (30, 5))
REAL = RANDOM.normal(2.0, 3.0, (30, 5))


@pytest.fixture
def saved(tmp_path):
    def write(x):
        np.savez(tmp_path / "mine.npz", x_train=x[:20], x_test=x[20:])
        return str(tmp_path / "mine.npz")

    return write


@pytest.mark.parametrize(
    ("x", "values"),
    [
        *((COUNTS.astype(t), "counts") for t in (np.uint8, np.int8, np.int64, np.float32, float)),
        *((BITS.astype(t), "binary") for t in (np.uint8, np.bool_, np.int16, np.float64)),
        (REAL, "real"),
        (COUNTS - 7, "real"),
        (REAL.clip(0, 1), "unit"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.dtype),
)
def test_numbers_are_read_as_what_they_are(saved, x, values):
    data = load(saved(x), "none", values=values)
    torch.testing.assert_close(data.test.x, torch.from_numpy(x[20:]).float(), rtol=0, atol=0)
    assert data.values == values


def test_bytes_stay_bytes_and_are_counts_where_they_are_declared_so(saved):
    path = saved((COUNTS * 20).astype(np.uint8))
    counted, grey = load(path, "none", values="counts"), load(path, "none")
    assert counted.train.images.stored.dtype == torch.uint8
    torch.testing.assert_close(counted.test.x, 255.0 * grey.test.x)
    assert counted.fingerprint != grey.fingerprint
    assert load(path, "none", values="unit").fingerprint == grey.fingerprint


@pytest.mark.parametrize(
    ("x", "values", "message"),
    [
        (COUNTS - 1.0, "counts", "x_train must be whole numbers from 0 to 2.24, as values = "
         "'counts' says; got -1: correct them, or declare values = 'real'"),
        (COUNTS + 0.5, "counts", r"says; got \d\.5: correct them"),
        (COUNTS * 1e8, "counts", r"says; got \d00000000: correct them"),
        (COUNTS, "binary", "must be 0 or 1, as values = 'binary' says; got "),
        (REAL, "unit", r"must be in \[0, 1\], as values = 'unit' says; got "),
        (np.where(REAL > 4, np.nan, REAL), "real", "must be finite; got NaN or infinity"),
        (COUNTS.astype(str), "counts", "must be numbers; got <U21: leave out what is text"),
        (COUNTS, None, "must be uint8, bool or float; got int64: .* data.values = 'counts'"),
    ],
)  # fmt: skip
def test_numbers_of_another_kind_are_one_line(saved, x, values, message):
    with pytest.raises(InputError, match=message):
        load(saved(x), "none", values=values)


def test_counts_of_parts_may_be_on_other_scales(saved):
    x = COUNTS.copy()
    x[:20] = x[:20].clip(0, 1)
    x[25] = 5000
    assert float(load(saved(x), "none", values="counts").test.x.max()) == 5000.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"values": "counts", "binarisation": "dynamic"}, "are of images; 'mine' has values count"),
        ({"values": "counts", "dequantise": True}, "are of images; 'mine' has values counts: re"),
        ({"standardise": True}, "standardise needs values = 'real'; 'mine' has values that are no"),
        ({"values": "real", "by_library": True}, "library_size needs values = 'counts'; 'mine' h"),
        ({"columns": ("a",)}, "data.columns chooses columns of a table; .*mine.npz is none"),
    ],
)
def test_settings_of_another_kind_are_one_line(saved, settings, message):
    binarisation = settings.pop("binarisation", "none")
    with pytest.raises(InputError, match=message):
        load(saved(COUNTS.astype(np.float32)), binarisation, **settings)


def test_a_drawn_data_set_says_itself_what_it_is():
    assert load("counts", "none", values="counts").values == "counts"
    with pytest.raises(InputError, match="'counts' says itself what its numbers are: remove valu"):
        load("counts", "none", values="real")


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "categorical"])
def test_a_likelihood_of_images_names_those_of_counts(likelihood):
    with pytest.raises(
        InputError, match=r"Likelihoods of such: .*poisson, .*negative_binomial.*, student_t"
    ):
        resolve([tiny(likelihood=likelihood, data={"name": "counts"})])


def test_a_likelihood_of_counts_names_those_of_real_values():
    with pytest.raises(InputError) as error:
        resolve([tiny(likelihood="poisson", data={"name": "series"})])
    assert "gaussian_learned" in str(error.value)
    assert "bernoulli" not in str(error.value)
