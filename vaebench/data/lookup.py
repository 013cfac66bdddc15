"""Finds a data set: in code, scikit-learn, $VAEBENCH_DATA, the user's cache or at its publisher."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.core.errors import InputError, first_line, near_match
from vaebench.core.unfinished import making
from vaebench.data.arrays import Arrays, checked, fingerprint, white_of
from vaebench.data.counts import counts
from vaebench.data.folder import read_folder, write_folder
from vaebench.data.npz import read_npz
from vaebench.data.publishers import SOURCES
from vaebench.data.request import Request
from vaebench.data.series import series
from vaebench.data.shapes import shapes
from vaebench.data.tables import FORMATS, read_table
from vaebench.ops.noise import Noise, key, permutations

NUM_DIGITS_TEST = 360
Stamp = tuple[str, int, int]
"""Path, modification time in nanoseconds and size of a file, by which a change is seen."""


def find(request: Request) -> Arrays:
    """The stored arrays of a data set by name or path, checked.

    Raises InputError for an unknown name, a missing file or one that cannot be fetched, and for
    numbers that are not what they are declared to be.
    """
    name, values = request.name, request.values
    if name in COMPUTED:
        return _as_declared(COMPUTED[name](), request)
    if name.endswith(".npy"):
        raise InputError(
            f"a data set of .npy files is named by their folder, in which they are x_train.npy and "
            f"x_test.npy; got {name!r}"
        )
    path = _existing(Path(name)) if is_path(name) else _published(name)
    parts = _read(path, request)
    return checked(Arrays(path.stem, parts, white_of(parts, values), values), str(path))


def _as_declared(arrays: Arrays, request: Request) -> Arrays:
    """A data set that says what its numbers are. Raises InputError where others are asked for."""
    if request.values not in (None, arrays.values) or request.columns:
        raise InputError(
            f"data set {arrays.label!r} says itself what its numbers are: remove values and columns"
        )
    return arrays


def _read(path: Path, request: Request) -> dict[str, NDArray[Any]]:
    has_test = request.test_fraction is None
    if path.suffix in FORMATS:
        if has_test:
            raise InputError(
                f"{path}: a table has no test part: set data.test_fraction, as to 0.2, and its "
                f"rows are divided by data.split_seed"
            )
        return {"x_train": read_table(path, request.columns)}
    if request.columns:
        raise InputError(f"data.columns chooses columns of a table; {path} is none: remove it")
    return (read_folder if path.is_dir() else read_npz)(path, has_test)


def _published(name: str) -> Path:
    if name not in SOURCES:
        raise InputError(
            f"unknown data set {name!r}; {near_match(name, NAMES)}, or the path of a file or folder"
        )
    return _stored(name) or _fetch(name)


def is_path(name: str) -> bool:
    """Whether a data set is named by the path of its file or folder."""
    return name.endswith((".npz", *FORMATS)) or os.sep in name


def stamp(name: str) -> Stamp | None:
    """Path, latest change and size of what a data set is read from now; None for no file."""
    files = stored_files(name)
    if not files:
        return None
    states = [path.stat() for path in files]
    latest, size = max(s.st_mtime_ns for s in states), sum(s.st_size for s in states)
    return str(files[0].resolve()), latest, size


def stored_files(name: str) -> list[Path]:
    """The files that a data set is read from now: one, or those of a folder; none where there are
    none."""
    path = Path(name) if is_path(name) else _stored(name) if name in SOURCES else None
    if path is None:
        return []
    if os.path.isdir(path):
        return sorted(path.glob("*.npy"))
    return [path] if os.path.isfile(path) else []


def home(name: str) -> str:
    """Where a data set by name is found now: a path, or how it is made; "" where it is to be
    fetched. Raises InputError where $VAEBENCH_DATA names no folder."""
    if name == "digits":
        return str(_digits_file())
    return "computed" if name in COMPUTED else str(_stored(name) or "")


def _stored(name: str) -> Path | None:
    paths = (folder / f"{name}.npz" for folder in _folders())
    return next((path for path in paths if os.path.isfile(path)), None)


def kept_arrays(parts: Mapping[str, NDArray[Any]], name: str, folder: Path | None) -> Path:
    """The folder NAME of .npy files that hold these arrays, in a folder or in the user's cache.

    In the cache each content has a place of its own. Raises InputError for objects, and where a
    folder holds other arrays under that name.
    """
    if objects := [part for part, x in parts.items() if x.dtype.hasobject]:
        raise InputError(
            f"{objects[0]} must be an array of numbers of one shape; got Python objects"
        )
    content = fingerprint(Arrays(name, parts, 1.0))
    target = (folder or cache_folder() / "arrays" / content) / name
    try:
        write_folder(target, parts)
    except OSError as error:
        raise InputError(f"{target} must be a place to write to: {first_line(error)}") from error
    stored = {path.stem: np.load(path, mmap_mode="r") for path in target.glob("*.npy")}
    if fingerprint(Arrays(name, stored, 1.0)) != content:
        raise InputError(f"{target} holds other arrays: give another name or folder, or remove it")
    return target.resolve()


def _existing(path: Path) -> Path:
    # Unlike the methods of Path, these functions take names with NUL and names that are too long.
    if not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(
            f"data set {path} must be an .npz, .csv or .parquet file, or a folder of .npy files; "
            f"there is none at {os.path.abspath(path)}"
        )
    return path


def _folders() -> list[Path]:
    """Folders to look in: $VAEBENCH_DATA, where it is set, then the cache. Raises InputError."""
    named = os.environ.get("VAEBENCH_DATA")
    if named and not os.path.isdir(named):
        raise InputError(
            f"$VAEBENCH_DATA must name the folder that holds NAME.npz; {named!r} is none: "
            f"correct it, or unset it"
        )
    return [*([Path(named)] if named else []), cache_folder()]


def cache_folder() -> Path:
    """The folder of this user's for data sets that were fetched, or given as arrays."""
    import pooch

    return Path(pooch.os_cache("vaebench"))


def _fetch(name: str) -> Path:
    """Download the published files, check them, and store them as NAME.npz in the cache."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    target = cache_folder() / f"{name}.npz"
    arrays = {}
    try:
        for part, (address, checksum) in SOURCES[name].files.items():
            stored = pooch.retrieve(address, checksum, path=cache_folder() / name, progressbar=True)
            arrays[part] = SOURCES[name].parse(Path(stored).read_bytes())
        with making(target) as unfinished:
            np.savez_compressed(unfinished / target.name, allow_pickle=False, **arrays)
            (unfinished / target.name).replace(target)
    except (OSError, ValueError) as error:
        folders = " or ".join(str(folder) for folder in _folders())
        raise InputError(
            f"data set {name!r} could not be fetched ({first_line(error)}): "
            f"put {name}.npz with x_train and x_test into {folders}"
        ) from error
    return target


def _digits() -> Arrays:
    """The 1797 8x8 digits that come with scikit-learn; the test part is a fixed choice of 360.

    Their 17 greys are stored in 8 bits, as images are: each goes to the nearest level k / 255.
    """
    table = np.loadtxt(_digits_file(), delimiter=",")  # a line for each: 64 greys, and its class
    order = permutations(Noise((key("digits", "test"),)), len(table))[0].numpy()
    test, train = order[:NUM_DIGITS_TEST], order[NUM_DIGITS_TEST:]
    x = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    y = table[:, -1].astype(np.int64)
    parts = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    return checked(Arrays("digits", parts, white=255.0))


def _digits_file() -> Path:
    """The file behind `sklearn.datasets.load_digits`, whose import takes longer than a small run.

    Raises InputError where scikit-learn is not installed, or no longer has that file.
    """
    package = importlib.util.find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    files = (Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders or ())
    if (file := next(filter(Path.is_file, files), None)) is None:
        raise InputError(
            "the digits must come with scikit-learn, which is not installed, or not in a version "
            "that has them: python -m pip install 'scikit-learn>=1.5'"
        )
    return file


COMPUTED: dict[str, Callable[[], Arrays]] = {
    "digits": _digits,
    "shapes": shapes,
    "counts": counts,
    "series": series,
}
"""Data sets that are computed, not read from a file."""
NAMES = (*COMPUTED, *SOURCES)
