"""Where data sets are looked up, and how they are fetched."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tests.support import SHARED_DATA
from vaebench.core.errors import InputError
from vaebench.data import load, lookup, publishers
from vaebench.data.request import Request

needs_shared_data = pytest.mark.skipif(
    not (SHARED_DATA / "mnist.npz").exists(), reason="needs mnist.npz in $VAEBENCH_DATA"
)


def test_the_digits_are_those_of_scikit_learn():
    bunch = load_digits()
    arrays = lookup.find(Request("digits")).parts
    images, classes = (np.concatenate([arrays[f"{a}_train"], arrays[f"{a}_test"]]) for a in "xy")
    ours = sorted((c, *i.ravel()) for c, i in zip(classes, images, strict=True))
    theirs = np.rint(bunch.data * (255 / 16)).astype(np.uint8)
    assert ours == sorted((c, *i) for c, i in zip(bunch.target, theirs, strict=True))


def test_digits_that_are_not_there_are_asked_for(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"scikit-learn, which is not installed.*pip install"):
        lookup.find(Request("digits"))


@needs_shared_data
def test_lookup_in_the_folder_of_the_environment(monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", str(SHARED_DATA))
    mnist = load("mnist", "none")
    assert (len(mnist.train.x), len(mnist.valid.x), len(mnist.test.x)) == (50_000, 10_000, 10_000)
    pixels = torch.cat([mnist.train.x, mnist.valid.x])
    assert float(pixels.mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(pixels.std()) == pytest.approx(0.3081, abs=5e-5)
    binarized = load("binarized_mnist", "static")
    assert len(binarized.valid.x) == 10_000
    with pytest.raises(InputError, match="its own validation part"):
        load("binarized_mnist", "static", 0.2)


def idx(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}i", *array.shape)
    return gzip.compress(header + array.tobytes())


def amat(array):
    return "\n".join(" ".join(map(str, image.flatten())) for image in array).encode()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A publisher on the local disk: a data set of 28x28 binary images in either format."""
    images = (np.random.default_rng(0).random((20, 28, 28)) < 0.3).astype(np.uint8)
    monkeypatch.setattr(lookup, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("VAEBENCH_DATA", raising=False)

    def publish(name, encode, parse, checksum=None):
        files = {}
        for part in ("x_train", "x_test"):
            path = tmp_path / f"{name}-{part}"
            path.write_bytes(encode(images))
            digest = checksum or hashlib.sha256(path.read_bytes()).hexdigest()
            files[part] = (f"file://{path}", f"sha256:{digest}")
        monkeypatch.setitem(lookup.SOURCES, name, publishers.Source(files, parse))

    return images, publish, tmp_path / "cache"


class FileDownloader:
    """Stands in for the network: copies file:// addresses."""

    def __call__(self, url, output_file, pooch):
        from pathlib import Path

        Path(output_file).write_bytes(Path(url.removeprefix("file://")).read_bytes())


@pytest.mark.parametrize(("encode", "parse"), [(idx, publishers.idx), (amat, publishers.amat)])
def test_fetched_data_are_checked_stored_and_read_again(published, monkeypatch, encode, parse):
    import pooch

    images, publish, cache = published
    publish("fashion_mnist", encode, parse)
    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *a, **k: FileDownloader())
    arrays = lookup.find(Request("fashion_mnist"))
    assert np.array_equal(arrays.parts["x_train"], images)
    assert (cache / "fashion_mnist.npz").exists()
    monkeypatch.setattr(lookup, "_fetch", lambda name: pytest.fail("it is in the cache"))
    assert np.array_equal(lookup.find(Request("fashion_mnist")).parts["x_test"], images)


def test_a_wrong_checksum_and_no_network_say_where_to_put_the_file(published, monkeypatch):
    import pooch

    _, publish, cache = published
    publish("fashion_mnist", idx, publishers.idx, checksum="0" * 64)
    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *a, **k: FileDownloader())
    with pytest.raises(InputError, match=r"could not be fetched .* put fashion_mnist.npz"):
        lookup.find(Request("fashion_mnist"))
    assert not (cache / "fashion_mnist.npz").exists()
