"""Reads an .npz file that nobody vouches for: headers first, then arrays that fit into memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vaebench.core.errors import InputError, closest, first_line
from vaebench.core.memory import available_bytes
from vaebench.data.arrays import OPTIONAL, REQUIRED, Arrays, checked, number_bytes, white_of

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Functions that read a header, by version of the .npy format; later ones are for named fields."""
NUM_NAMED = 20
"""Members that a message names at most."""


class Header(NamedTuple):
    """The shape and type of an array, which stand before its numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def num_values(self) -> int:
        """How many numbers the array has, as a Python integer, which cannot overflow."""
        return math.prod(self.shape)


def read_npz(path: Path) -> Arrays:
    """The checked arrays of an .npz file. Raises InputError that names the file and the fault."""
    with _one_error(f"{path} must be an .npz of plain arrays"):
        file = zipfile.ZipFile(path)
    with file:
        members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        _check_names(path, members)
        wanted = {name: members[name] for name in (*REQUIRED, *OPTIONAL) if name in members}
        _check_fits(path, {name: _header(path, file, info) for name, info in wanted.items()})
        parts = {name: _array(path, file, info) for name, info in wanted.items()}
    return checked(Arrays(path.stem, parts, white_of(parts)), str(path))


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
        if header.num_values * dtype.itemsize != size:
            raise ValueError(f"{dtype} of shape {shape} is announced, which {size} bytes are not")
    return header


def _array(path: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with _one_error(_member(path, info)), file.open(info.filename) as stored:
        array: NDArray[Any] = np.lib.format.read_array(stored, allow_pickle=False)
    return array


def _check_fits(path: Path, headers: Mapping[str, Header]) -> None:
    """Raises InputError where the arrays and their tensors together do not fit into free memory."""
    stored = sum(header.num_values * header.dtype.itemsize for header in headers.values())
    tensors = sum(
        header.num_values * number_bytes(name, header.dtype) for name, header in headers.items()
    )
    free = available_bytes(torch.device("cpu"))
    if stored + tensors > free:
        raise InputError(
            f"{path} must fit into memory: unpacked it has {_size(stored)}, and {_size(tensors)} "
            f"as the images and labels that are worked with; {_size(free)} are free: store fewer "
            f"or smaller images"
        )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.3g} GiB" if num_bytes < 1 << 60 else "over 1 EiB"


def _check_names(path: Path, members: Mapping[str, Any]) -> None:
    """Raises InputError for a missing part, and for one under a name that is not read."""
    for name in REQUIRED:
        if name not in members:
            raise InputError(
                f"{path}: {name} is missing; a data set needs x_train and x_test; "
                f"{closest(name, members)}the file has {_listed(members)}: rename what is meant"
            )
    for name in members:
        meant = _usual(name)
        if meant in (*REQUIRED, *OPTIONAL) and name != meant:
            raise InputError(
                f"{path}: {name!r} would not be read; rename it to {meant}, or remove it"
            )


def _usual(name: str) -> str:
    """The name used here for x_val, X_dev, y_validation and the like."""
    kind, _, part = name.lower().partition("_")
    return f"{kind}_valid" if part in ("val", "dev", "validation") else f"{kind}_{part}"


def _listed(members: Mapping[str, Any]) -> str:
    names = [repr(name[:100]) for name in members]
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return (", ".join(names[:NUM_NAMED]) + more) or "nothing"
