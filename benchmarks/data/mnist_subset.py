"""Write MNIST with small held-out parts, of which 5,000 samples of every image can be afforded.

`python -m benchmarks.data.mnist_subset FILE.npz`. Training part: the first 50,000 training images.
Validation part: every 100th of the other 10,000. Test part: every 20th test image, as the first and
the second half of them are of different writers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.data.lookup import find
from vaebench.data.request import Request

NUM_TRAIN, EVERY_VALID, EVERY_TEST = 50_000, 100, 20


def subset(whole: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Images `x_*` and labels `y_*` of the three parts, from those of the published two."""
    parts: dict[str, NDArray[Any]] = {}
    for kind in ("x", "y"):
        train, test = whole[f"{kind}_train"], whole[f"{kind}_test"]
        parts[f"{kind}_train"] = train[:NUM_TRAIN]
        parts[f"{kind}_valid"] = train[NUM_TRAIN::EVERY_VALID]
        parts[f"{kind}_test"] = test[::EVERY_TEST]
    return parts


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, **subset(find(Request("mnist")).parts))
