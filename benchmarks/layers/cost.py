"""Milliseconds of a training step with layers of latents, beside one layer as wide as all of them.

`nox -s layers` calls this. Networks between layers have the hidden widths of encoder and decoder.
Ways take turns on one thread; medians over rounds, for each run of a stack.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.networks.cost import (
    AT_ONCE,
    ENDLESS,
    Size,
    TakeSteps,
    random_images,
    stack,
)
from vaebench.config import RunConfig, parse
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import always, never

SIZES = {
    "64-128, B=64, 8 runs": (Size((8, 8), 24, 64), [128], 8),
    "784-200, B=64, 1 run": (Size((28, 28), 24, 64), [200], 1),
}
"""Images, code and minibatch, hidden widths, runs of a stack."""
LAYERED = {"posterior": "hierarchical", "prior": "hierarchical"}
LADDER = {"posterior": "ladder", "prior": "hierarchical"}
MODELS: dict[str, dict[str, Any]] = {
    "one layer of 24, elbo": {"objective": "elbo"},
    "one layer of 24, elbo_mc": {"objective": "elbo_mc"},
    "16 and 8 bottom-up, elbo_mc": {"objective": "elbo_mc", **LAYERED, "dims": [16, 8]},
    "16 and 8 as a ladder, elbo": {"objective": "elbo", **LADDER, "dims": [16, 8]},
    "12, 8 and 4 bottom-up, elbo_mc": {"objective": "elbo_mc", **LAYERED, "dims": [12, 8, 4]},
}
BASELINE = "one layer of 24, elbo_mc"
ROUND_STEPS = 40


def config_of(model: str, size: str, seed: int) -> RunConfig:
    """A run of a model at a size."""
    of_data, widths, _ = SIZES[size]
    choices = dict(MODELS[model])
    layers = {"layer_dims": choices.pop("dims")} if "dims" in choices else {}
    return parse(
        {
            "likelihood": "bernoulli",
            "model": {"latent_dim": of_data.latent, "widths": widths, **layers},
            "train": {"num_steps": ENDLESS, "batch_size": of_data.batch},
            "seed": seed,
            **choices,
        }
    )


def taking(model: str, size: str, way: MakeBlocks) -> TakeSteps:
    """The training loop of a stack, which has taken its first steps."""
    of_data, _, num_runs = SIZES[size]
    configs = [config_of(model, size, seed) for seed in range(num_runs)]
    take = stack(configs, random_images(of_data.image_shape), way)
    take(2 * AT_ONCE)
    return take


def measured(size: str, rounds: int) -> pd.DataFrame:
    """A line for each model and way at a size: milliseconds for each run, and over one layer's."""
    ways = {"eager": never(), "compiled": always()}
    loops = {(model, way): taking(model, size, ways[way]) for model in MODELS for way in ways}
    times: dict[tuple[str, str], list[float]] = {line: [] for line in loops}
    num_runs = SIZES[size][2]
    for _, (line, take) in itertools.product(range(rounds), loops.items()):
        start = time.perf_counter()
        taken = take(ROUND_STEPS)
        times[line].append(1e3 * (time.perf_counter() - start) / (taken * num_runs))
    medians = {line: statistics.median(values) for line, values in times.items()}
    return pd.DataFrame(
        [
            {
                "size": size,
                "model": model,
                "way": way,
                "time_ms": ms,
                "ratio": ms / medians[BASELINE, way],
            }
            for (model, way), ms in medians.items()
        ]
    )


def main() -> None:
    """Measure each size, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/layers"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", choices=SIZES, action="append")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "cost.csv"
    for size in arguments.size or SIZES:
        table = measured(size, arguments.rounds)
        if path.exists():  # the other sizes stay as they were
            kept = pd.read_csv(path)
            table = pd.concat([kept[kept["size"] != size], table])
        table.round(4).to_csv(path, index=False)


if __name__ == "__main__":
    main()
