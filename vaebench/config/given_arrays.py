"""Arrays in Python as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vaebench.config.convert import convert
from vaebench.config.sections import DataConfig
from vaebench.core.errors import InputError
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
    if not name.replace("-", "_").isidentifier():
        raise InputError(
            f"name must be letters, digits, _ and -, as it is a folder's; got {name!r}"
        )
    parts = {part: np.asarray(x) for part, x in arrays.items() if x is not None}
    for part, x in parts.items():
        if not x.ndim:
            raise InputError(f"{part} must be an array [N, ...]; got {arrays[part]!r}")
    path = kept_arrays(parts, name, None if folder is None else Path(folder))
    return convert({**settings, "name": str(path)}, DataConfig)
