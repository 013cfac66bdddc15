"""A compiled training step with the products of ops/c/product.c, and with PyTorch's bmm, by turns.

    python -m benchmarks.ops.product_step --rounds 21

Both ways train stacks of two sizes in one process on one thread; in every round each takes some
blocks of steps, in an order that is drawn anew. Everything else in both graphs is the same. The
table has medians over the rounds and, in brackets, the smallest and largest.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vaebench.config import parse
from vaebench.config.build import build_stack, load_data
from vaebench.training.loop import training_steps
from vaebench.training.stepping.compiled.way import CompiledSteps, Graphs

BLOCK = 40
"""Steps of a block, as many as a run of 1,600 takes between two points of its curve."""
ENDLESS = 10_000_000
NUM_IMAGES = 60 * 128
"""Random ones, so that no data set is needed: what a step takes does not depend on them."""
WAYS = {"product.c": True, "bmm": False}


@dataclass(frozen=True)
class Size:
    """P-H-D with the runs of a stack and the rows of a minibatch."""

    pixels: int
    hidden: int
    latent: int
    num_runs: int
    batch: int

    @property
    def label(self) -> str:
        """The size as the table names it."""
        shape = f"{self.pixels}-{self.hidden}-{self.latent}"
        return f"{shape}, S={self.num_runs}, B={self.batch}"


SIZES = (Size(64, 128, 8, num_runs=32, batch=64), Size(784, 400, 20, num_runs=4, batch=128))


def measure(size: Size, num_rounds: int, num_blocks: int) -> pd.DataFrame:
    """Microseconds per step and run of both ways in each round."""
    with tempfile.TemporaryDirectory() as folder:
        path = _images(size, Path(folder))
        steps = {way: _steps(size, path, native) for way, native in WAYS.items()}
        order, rows = list(WAYS), []
        for _ in range(num_rounds + 1):
            random.shuffle(order)
            rows.append({way: _seconds(steps[way], num_blocks) for way in order})
    return 1e6 / size.num_runs * pd.DataFrame(rows[1:])  # the first round compiles


def table(times: pd.DataFrame, size: Size) -> dict[str, str]:
    """A line: both ways, and how many times as long as the library's the step with ours takes."""
    shown = {way: _range(times[way], "{:.1f}") for way in WAYS}
    ratio = times["product.c"] / times["bmm"]
    return {"size": size.label, **shown, "product.c / bmm": _range(ratio, "{:.3f}")}


def _range(values: pd.Series, form: str) -> str:
    middle, low, high = (form.format(f) for f in (values.median(), values.min(), values.max()))
    return f"{middle} [{low}, {high}]"


def _images(size: Size, folder: Path) -> Path:
    generator = np.random.default_rng(0)
    parts = {"x_train": NUM_IMAGES, "x_valid": 256, "x_test": 256}
    images = {name: generator.random((n, size.pixels)) < 0.2 for name, n in parts.items()}
    path = folder / "random.npz"
    np.savez(path, allow_pickle=False, **{name: x.astype(np.uint8) for name, x in images.items()})
    return path


def _steps(size: Size, path: Path, native_products: bool) -> Iterator[Any]:
    raw = {
        "objective": "elbo",
        "likelihood": "bernoulli",
        "data": {"name": str(path), "binarisation": "static"},
        "model": {"latent_dim": size.latent, "widths": [size.hidden]},
        "train": {"num_steps": ENDLESS, "batch_size": size.batch},
    }
    configs = [parse(raw | {"seed": seed}) for seed in range(size.num_runs)]
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    way = partial(CompiledSteps, Graphs(native_products=native_products))
    return training_steps(model, configs, dataset, way, at_once=BLOCK)


def _seconds(steps: Iterator[Any], num_blocks: int) -> float:
    """Seconds of a step of the whole stack."""
    start = time.perf_counter()
    num_steps = sum(len(next(steps).losses) for _ in range(num_blocks))
    return (time.perf_counter() - start) / num_steps


def main() -> None:
    """Measure both sizes and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--blocks", type=int, default=6, help="in each round, of each way")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [table(measure(size, options.rounds, options.blocks), size) for size in SIZES]
    print(f"Microseconds per step and run, {options.rounds} rounds, one thread:\n")
    print(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
