"""A folder of .npy files as a data set: x_train.npy, x_test.npy and the like, read where they lie.

Images are mapped into memory, not copied there, and become float32 a few at a time when they are
read, so that a data set may be larger than memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError, first_line
from vaebench.core.unfinished import making
from vaebench.data.contents import check_fits, check_names, is_part

SUFFIX = ".npy"
IN_PLACE = (
    *(np.uint8, np.bool_, np.int8, np.int16, np.int32, np.int64),
    *(np.float32, np.float64),
)
"""The types of numbers that are read as they lie in a file, in the order of the machine's bytes."""


def read_folder(folder: Path, has_test: bool) -> dict[str, NDArray[Any]]:
    """The arrays of a folder by name, mapped. Raises InputError that names the file and fault."""
    files = {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    check_names(str(folder), files, has_test)
    parts = {name: _mapped(path) for name, path in files.items() if is_part(name)}
    check_fits(str(folder), {name: x for name, x in parts.items() if not read_in_place(x)})
    return parts


def read_in_place(x: NDArray[Any]) -> bool:
    """Whether a mapped array has numbers that are read as they lie in the file."""
    plain = x.dtype in IN_PLACE and x.flags.c_contiguous
    return isinstance(x, np.memmap) and plain and x.ndim > 1


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{path} must be a plain array as np.save writes it; reading it: {first_line(error)}"
        ) from error
    return array


def write_folder(folder: Path, parts: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a folder of .npy files, whole or not at all; one that is there is kept."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with making(folder) as unfinished:
        temporary = unfinished / folder.name
        temporary.mkdir()
        for name, x in parts.items():
            np.save(temporary / f"{name}{SUFFIX}", x, allow_pickle=False)
        try:
            os.rename(temporary, folder)
        except OSError:  # another process was first
            if not folder.exists():
                raise
