"""What the two dear gradings cost in full, and what was estimated: `nox -s cost` calls this.

A 784-400-20 model, as it starts, on random binary images of 784 pixels: bounds of 5,000 samples for
10,000 test images, and annealed importance sampling of 100 images with 16 chains through 1,000
temperatures. Weights and images do not change the work, so that no data set is needed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from vaebench.config import parse
from vaebench.config.build import build_stack, streams
from vaebench.data import Dataset, Images, Part
from vaebench.evaluation import Subject, budget, evaluate

NUM_TEST, SIDE = 10_000, 28
GRADINGS: dict[str, Mapping[str, float]] = {
    "likelihood": {},
    "annealed": {
        "num_temperatures": 1000,
        "num_chains": 16,
        "num_examples": 100,
        "num_leapfrog": 10,
        "num_simulated": 0,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/evaluation"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    subject = of_random_images()
    rows = [measured(subject, name, arguments.threads) for name in GRADINGS]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / f"cost_{arguments.threads}.csv", index=False)


def of_random_images() -> Subject:
    """The model on 10,000 test images; the other parts are small, as they are not graded."""
    model = {"latent_dim": 20, "widths": [400]}
    config = parse({"objective": "elbo", "likelihood": "bernoulli", "model": model})
    generator = torch.Generator().manual_seed(0)

    def part(num: int) -> Part:
        x = (torch.rand(num, SIDE * SIDE, generator=generator) < 0.13).float()
        return Part(Images(x), torch.arange(num) % 10)

    dataset = Dataset("random", (SIDE, SIDE), "static", "", part(48), part(1), part(NUM_TEST))
    built = build_stack([config], (SIDE, SIDE)).requires_grad_(False)
    return Subject(built, dataset, streams([config], "evaluate"), num_samples=5000)


def measured(subject: Subject, name: str, threads: int) -> dict[str, object]:
    """Minutes that a grading takes, and the minutes that were estimated."""
    gradings = {name: GRADINGS[name]}
    estimated = budget(subject, gradings)[name]
    start = time.perf_counter()
    evaluate(subject, gradings)
    took = time.perf_counter() - start
    return {"grading": name, "threads": threads, "foretold_min": estimated / 60, "min": took / 60}


if __name__ == "__main__":
    main()
