"""Data sets that are fetched from their publishers: where they are, and what their files hold."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """The files that a data set was published as: array name -> (address, checksum)."""

    files: Mapping[str, tuple[str, str]]
    parse: Callable[[bytes], NDArray[Any]]


def idx(content: bytes) -> NDArray[Any]:
    """Parse the IDX format of MNIST: two zero bytes, type, number of axes, axis lengths, bytes."""
    raw = gzip.decompress(content)
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy()


def amat(content: bytes) -> NDArray[Any]:
    """Parse Larochelle's text format: one image a line, 784 values of 0 or 1."""
    return np.loadtxt(io.BytesIO(content), dtype=np.uint8).reshape(-1, 28, 28)


def _idx_source(base: str, md5: tuple[str, str, str, str]) -> Source:
    names = {
        "x_train": "train-images-idx3-ubyte.gz",
        "y_train": "train-labels-idx1-ubyte.gz",
        "x_test": "t10k-images-idx3-ubyte.gz",
        "y_test": "t10k-labels-idx1-ubyte.gz",
    }
    sums = dict(zip(names, md5, strict=True))
    return Source({k: (f"{base}/{file}", f"md5:{sums[k]}") for k, file in names.items()}, idx)


_LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist"

SOURCES: dict[str, Source] = {
    "mnist": _idx_source(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion_mnist": _idx_source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "binarized_mnist": Source(
        {
            part: (f"{_LAROCHELLE}_{part[2:]}.amat", f"sha256:{sha256}")
            for part, sha256 in {
                "x_train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
                "x_valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
                "x_test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
            }.items()
        },
        amat,
    ),
}
