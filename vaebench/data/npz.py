"""Reads an .npz file that nobody vouches for: headers first, then arrays that fit into memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError, first_line
from vaebench.data.contents import check_fits, check_names, is_part

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Functions that read a header, by version of the .npy format; later ones are for named fields."""


class Header(NamedTuple):
    """The shape and type of an array, which stand before its numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_npz(path: Path, has_test: bool) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name. Raises InputError that names the file and the fault."""
    with _one_error(f"{path} must be an .npz of plain arrays"):
        file = zipfile.ZipFile(path)
    with file:
        members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        check_names(str(path), members, has_test)
        wanted = {name: info for name, info in members.items() if is_part(name)}
        check_fits(str(path), {name: _header(path, file, info) for name, info in wanted.items()})
        return {name: _array(path, file, info) for name, info in wanted.items()}


@contextmanager
def _one_error(rule: str) -> Iterator[None]:
    """Turn whatever zipfile, a decompressor or numpy raise into one InputError.

    Its message says what the file must be. A damaged file may raise anything, MemoryError included.
    """
    try:
        yield
    except Exception as error:
        raise InputError(f"{rule}; reading it: {first_line(error)}") from error


def _member(path: Path, info: zipfile.ZipInfo) -> str:
    return f"{path}: its member {info.filename!r} must be a plain array as np.savez writes it"


def _header(path: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    """Read the shape and type of a member, and nothing else of it."""
    with _one_error(_member(path, info)), file.open(info.filename) as stored:
        version = np.lib.format.read_magic(stored)
        if version not in HEADERS:
            raise ValueError(f"version {version} of the .npy format, of arrays with named fields")
        shape, _, dtype = HEADERS[version](stored)
        if dtype.hasobject:
            raise ValueError(f"Python objects ({dtype}), which are never unpickled")
        header, size = Header(shape, dtype), info.file_size - stored.tell()
        if math.prod(header.shape) * dtype.itemsize != size:
            raise ValueError(f"{dtype} of shape {shape} is announced, which {size} bytes are not")
    return header


def _array(path: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with _one_error(_member(path, info)), file.open(info.filename) as stored:
        array: NDArray[Any] = np.lib.format.read_array(stored, allow_pickle=False)
    return array
