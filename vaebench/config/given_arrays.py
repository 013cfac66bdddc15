"""Arrays in Python as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaebench.config.convert import convert
from vaebench.config.sections import DataConfig
from vaebench.core.arguments import path, shown
from vaebench.core.errors import InputError, first_line
from vaebench.data import kept_arrays


def dataset(
    x_train: ArrayLike,
    x_test: ArrayLike | None = None,
    *,
    name: str = "arrays",
    folder: str | Path | None = None,
    x_valid: ArrayLike | None = None,
    y_train: ArrayLike | None = None,
    y_valid: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    factors_train: ArrayLike | None = None,
    factors_valid: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    **settings: Any,
) -> DataConfig:
    """Arrays [N, ...] as the data of runs: `vb.run(study, out, data=vb.dataset(x_train, x_test))`.

    They are written once as a folder of .npy files named `name`, from which every worker, and every
    later grading, reads them: in `folder`, or the user's cache, under the hash of their bytes.
    `settings` are those of a study's [base.data]: values, standardise, library_size, test_fraction
    (needed without x_test) and others. Raises InputError for settings that are not there, and for
    names that are no file's; what the arrays hold is checked when a study is read.
    """
    arrays = {
        "x_train": x_train,
        "x_test": x_test,
        "x_valid": x_valid,
        "y_train": y_train,
        "y_valid": y_valid,
        "y_test": y_test,
        "factors_train": factors_train,
        "factors_valid": factors_valid,
        "factors_test": factors_test,
    }
    if not (isinstance(name, str) and name.replace("-", "_").isidentifier()):
        raise InputError(
            f"name must be letters, digits, _ and -, as it is a folder's; got {name!r}"
        )
    parts = {
        part: _array(part, x) for part, x in arrays.items() if x is not None or part == "x_train"
    }
    kept_in = None if folder is None else path("folder", folder)
    return convert({**settings, "name": str(kept_arrays(parts, name, kept_in))}, DataConfig)


def _array(part: str, values: ArrayLike | None) -> NDArray[Any]:
    """Some values as an array [N, ...]. Raises InputError."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise InputError(f"{part} must be an array [N, ...]; {first_line(error)}") from error
    if not array.ndim:
        raise InputError(f"{part} must be an array [N, ...]; got {shown(values)}")
    return array
