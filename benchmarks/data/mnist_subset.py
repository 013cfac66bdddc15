"""Write MNIST with small held-out parts, of which 5,000 samples of every image can be afforded.

`python -m benchmarks.data.mnist_subset NAME FILE.npz`, where NAME is a data set: mnist or
binarized_mnist. Training part: the first 50,000 training images. Validation part: every 50th of the
other 10,000. Test part: every 20th test image, as the first and the second half of MNIST's are of
different writers.
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

NUM_TRAIN, EVERY_VALID, EVERY_TEST = 50_000, 50, 20


def subset(parts: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays `x_*`, and labels `y_*` where there are any, of the three parts.

    A data set without a validation part has it at the end of its training part.
    """
    small: dict[str, NDArray[Any]] = {}
    for kind in {name[0] for name in parts}:
        rest = parts[f"{kind}_train"][NUM_TRAIN:]
        small[f"{kind}_train"] = parts[f"{kind}_train"][:NUM_TRAIN]
        small[f"{kind}_valid"] = parts.get(f"{kind}_valid", rest)[::EVERY_VALID]
        small[f"{kind}_test"] = parts[f"{kind}_test"][::EVERY_TEST]
    return small


if __name__ == "__main__":
    name, path = sys.argv[1], Path(sys.argv[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, **subset(find(Request(name)).parts))
