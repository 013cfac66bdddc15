"""The images of a size, looked up as vaebench does and written once for all to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.with_vaebench import start
from benchmarks.peers.work import START, Size, Work
from vaebench.core.errors import InputError
from vaebench.data import load

BESIDE = Path(__file__).parents[3] / "shared" / "data"
NUM_RANDOM = {"x_train": 20_000, "x_test": 1_000}


def store(size: Size, folder: Path) -> tuple[Path, str]:
    """An .npz with x_train, x_valid and x_test of 0 and 1, and what it holds, in words.

    x_train is cut to whole batches, so that no peer has a short one; x_valid is x_test, so that
    vaebench takes no part of x_train for it. Beside them the weights that all start from, where
    peers are checked by these. "random" where the data set cannot be had.
    """
    if "VAEBENCH_DATA" not in os.environ and BESIDE.is_dir():
        os.environ["VAEBENCH_DATA"] = str(BESIDE)
    try:
        data = load(size.dataset, "threshold")
        parts = {f"x_{name}": data.observe(name).numpy() for name in ("train", "test")}
        words = f"{size.dataset}, pixels above 0.5"
    except InputError:
        parts, words = _random(size), "random"
    whole = len(parts["x_train"]) // size.batch * size.batch
    path = folder / f"{size.name}.npz"
    binary = {name: x.astype(np.uint8).reshape(-1, *size.image_shape) for name, x in parts.items()}
    train, test = binary["x_train"][:whole], binary["x_test"]
    weights = start(Work(size, path, size.stack, 0)) if size.check_tolerance else {}
    arrays: dict[str, Any] = {f"{START}{name}": values for name, values in weights.items()}
    np.savez(path, x_train=train, x_valid=test, x_test=test, **arrays)
    return path, words


def _random(size: Size) -> dict[str, NDArray[np.bool_]]:
    generator = np.random.default_rng(0)
    return {name: generator.random((n, size.pixels)) < 0.13 for name, n in NUM_RANDOM.items()}
