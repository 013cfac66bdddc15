"""How much memory a data set takes: counted from arrays and tensors, and refused by its headers."""

import tracemalloc

import numpy as np
import pytest

from vaebench.config.build import check_support
from vaebench.core.errors import InputError
from vaebench.core.memory import PeakBytes
from vaebench.data import contents, load, npz
from vaebench.data.arrays import CHUNK_BYTES

NUM_PIXELS = 64 * 64
NUM_IMAGES = 1500


class Peak(PeakBytes):
    """The most bytes at once of tensors and of NumPy's arrays together, in `both`."""

    both = 0

    def _hold(self, num_bytes):
        self.note()
        super()._hold(num_bytes)

    def note(self):
        """Between two changes of the tensors it is the arrays alone that rise and fall."""
        self.both = max(self.both, self.held + tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()


def stored_as(dtype):
    x = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 64, 64), dtype=np.uint8)
    return x.astype(dtype) if dtype == np.uint8 else (x / 255).round().astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("binarisation", "dequantise", "likelihood"),
    [
        ("none", False, "discretised_logistic"),
        ("none", True, "beta"),
        ("threshold", False, "bernoulli"),
        ("dynamic", False, "bernoulli"),
    ],
)
def test_reading_takes_at_most_twice_the_data(
    tmp_path, dtype, binarisation, dequantise, likelihood
):
    """Bytes stay bytes; other numbers become float32; what is stored may be larger."""
    x = stored_as(dtype)
    np.savez(tmp_path / "x.npz", x_train=x[:-300], x_test=x[-300:])
    each = 4 if x.itemsize > 1 else 1
    size = max(x.nbytes, each * x.size)
    del x
    tracemalloc.start()
    try:
        with Peak() as memory:
            data = load(str(tmp_path / "x.npz"), binarisation, dequantise=dequantise)
            check_support(data, likelihood)
            memory.note()
    finally:
        tracemalloc.stop()
    assert memory.both <= 2 * size + 4 * CHUNK_BYTES


def test_binarisations_of_one_file_share_its_tensors(tmp_path):
    x = stored_as(np.uint8)[:40]
    np.savez(tmp_path / "x.npz", x_train=x[:20], x_test=x[20:])
    grey, dynamic = (load(str(tmp_path / "x.npz"), name) for name in ("none", "dynamic"))
    assert grey.train.images is dynamic.train.images


def test_data_that_do_not_fit_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "large.npz"
    np.savez_compressed(path, x_train=np.zeros((64, 1024, 1024), np.uint8), x_test=np.zeros((2, 8)))
    monkeypatch.setattr(contents, "available_bytes", lambda device: 100 << 20)
    monkeypatch.setattr(npz, "_array", lambda *args: pytest.fail("it is read"))
    message = (
        r"large.npz must fit into memory: unpacked it has 0.0625 GiB, and 0.0625 GiB as the "
        r"images and labels that are worked with; 0.0977 GiB are free: store fewer"
    )
    with pytest.raises(InputError, match=message):
        load(str(path), "none")
