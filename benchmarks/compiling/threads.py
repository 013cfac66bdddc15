"""From which size on an eager step of one run is faster in two threads: THREADED_FLOPS of plan.py.

`nox -s compiling` calls this, in half a minute on two quiet cores. One thread and two take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from benchmarks.compiling.__main__ import CASES, LARGE, NUM_ROUNDS, config_of, images, steps_of
from vaebench.core.settings import VARIABLES
from vaebench.running.work import step_work
from vaebench.training.curves import Step
from vaebench.training.progress import Progress
from vaebench.training.stepping.ways import never

LARGER = {
    "784-400-20, B=512": LARGE | {"batch_size": 512},
    "784-1000-1000-50, B=256": LARGE
    | {"model": {"latent_dim": 50, "widths": [1000, 1000]}, "batch_size": 256},
}


def ratio(loop: Iterator[Step[Progress]], seconds: float) -> float:
    """The time of a step in one thread, over that in two: the median over rounds."""
    one, two = [], []
    for _ in range(NUM_ROUNDS):
        one.append(_milliseconds(loop, 1, seconds))
        two.append(_milliseconds(loop, 2, seconds))
    return statistics.median(one) / statistics.median(two)


def _milliseconds(loop: Iterator[Step[Progress]], num_threads: int, seconds: float) -> float:
    torch.set_num_threads(num_threads)
    next(loop)
    start, num_steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        num_steps += len(next(loop).losses)
    return 1e3 * spent / num_steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/compiling"))
    arguments = parser.parse_args()
    if not VARIABLES.items() <= os.environ.items():  # which libraries read when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **VARIABLES})
    CASES.update(LARGER)
    with images() as file:
        rows = []
        for case in CASES:
            config = config_of(case, file)
            faster = ratio(steps_of(config, 1, never()), seconds=0.06)
            rows.append({"case": case, "flops": step_work(config).flops, "one / two": faster})
    table = pd.DataFrame(rows).sort_values("flops")
    table.to_csv(arguments.out / "threads.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
