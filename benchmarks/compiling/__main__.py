"""The constants by which `--compile auto` chooses and `--dry-run` foretells: `nox -s compiling`.

Savings: for each case a stack of one run and one of ten train eagerly and compiled, all four by
turns on one thread, in seconds of the process; a line through the medians of what compiled steps
save, by counted work, by least squares of its logarithm. Costs: of each graph, the seconds of all
processes until a first step is done, from empty caches and then from disk.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from msgspec.structs import replace
from scipy.optimize import least_squares

from vaebench.config import RunConfig, parse
from vaebench.config.build import build_stack, load_data
from vaebench.core.settings import VARIABLES
from vaebench.running.environment import describe
from vaebench.running.work import step_work
from vaebench.training.curves import Step
from vaebench.training.loop import training_steps
from vaebench.training.progress import Progress
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import always, never

SMALL = {"model": {"latent_dim": 8, "widths": [128]}, "batch_size": 64}
LARGE = {"data": "28x28", "model": {"latent_dim": 20, "widths": [400]}, "batch_size": 128}
CASES: dict[str, dict[str, Any]] = {
    "64-32-2, B=32": {"model": {"latent_dim": 2, "widths": [32]}, "batch_size": 32},
    "64-128-8, B=64": SMALL,
    "64-128-8, B=64, learned Gaussian": SMALL | {"likelihood": "gaussian_learned"},
    "64-128-8, B=64, IWAE, K=5": SMALL | {"objective": "iwae", "num_samples": 5},
    "64-512-512-32, B=128": {
        "model": {"latent_dim": 32, "widths": [512, 512]},
        "batch_size": 128,
    },
    "conv 16-32-8, B=64": {
        "model": {"name": "conv", "latent_dim": 8, "widths": [16, 32]},
        "batch_size": 64,
    },
    "784-400-20, B=128": LARGE,
    "64-128-8, B=64, beta-TC": SMALL | {"objective": "beta_tc"},
    "64-128-8, B=64, logistic": SMALL | {"likelihood": "discretised_logistic"},
    "64-128-8, B=64, IWAE, K=50": SMALL | {"objective": "iwae", "num_samples": 50},
}
COSTED = ("64-128-8, B=64", "64-128-8, B=64, IWAE, K=5", "conv 16-32-8, B=64")
"""Cases whose graphs are compiled from nothing: they differ little, and take long."""
STACKS = (1, 10)
AT_ONCE = 10
"""Steps of a block."""
NUM_ROUNDS = 5
ENDLESS = 10_000_000
FIRST_STEP = "from benchmarks.compiling.__main__ import first_step; first_step({!r}, {!r})"


@contextmanager
def images() -> Iterator[Path]:
    """A file of random images of 28 x 28."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        random = np.random.default_rng(0).integers(0, 256, (2000, 28, 28), np.uint8)
        np.savez(file, x_train=random, x_test=random[:100])
        yield file


def config_of(case: str, file: Path) -> RunConfig:
    """A run of a case. `file`: see `images`."""
    settings = dict(CASES[case])
    data, likelihood = settings.pop("data", "digits"), settings.pop("likelihood", "bernoulli")
    train = {"num_steps": ENDLESS, "batch_size": settings.pop("batch_size")}
    raw = {"objective": "elbo", "likelihood": likelihood, "train": train, **settings}
    binarisation = "dynamic" if likelihood == "bernoulli" else "none"
    name = str(file) if data == "28x28" else data
    return parse({**raw, "data": {"name": name, "binarisation": binarisation}})


def steps_of(config: RunConfig, num_runs: int, way: MakeBlocks) -> Iterator[Step[Progress]]:
    """The training loop of a stack."""
    dataset = load_data(config.data)
    configs = [replace(config, seed=seed) for seed in range(num_runs)]
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    return training_steps(model, configs, dataset, way, at_once=AT_ONCE)


def savings(file: Path, seconds: float) -> pd.DataFrame:
    """A row for each case and size of a stack: counted work, milliseconds per step and run.

    `flops`: those that compiled steps take as products.
    """
    ways = {"eager": never(), "compiled": always()}
    rows = []
    for case in CASES:
        config = config_of(case, file)
        work = step_work(config)
        loops = {
            (size, name): steps_of(config, size, way)
            for size, (name, way) in itertools.product(STACKS, ways.items())
        }
        for loop in loops.values():
            next(loop), next(loop)
        rounds = [
            {key: milliseconds(loop, seconds) / key[0] for key, loop in loops.items()}
            for _ in range(NUM_ROUNDS)
        ]
        for size in STACKS:
            of_way = {name: statistics.median(r[size, name] for r in rounds) for name in ways}
            counts = {"flops": work.product_flops, "elements": work.elements}
            rows.append({"case": case, "runs": size, **counts, **of_way})
    table = pd.DataFrame(rows)
    return table.assign(saved=table["eager"] - table["compiled"])


def milliseconds(loop: Iterator[Step[Progress]], seconds: float) -> float:
    """For a step of the whole stack, over so many seconds of the process."""
    start, num_steps = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        num_steps += len(next(loop).losses)
    return 1e3 * spent / num_steps


def work_of(table: pd.DataFrame) -> np.ndarray:
    """What each line does per step and run: its share of a step of a stack, elements, operations
    of products."""
    return np.stack([1 / table["runs"], table["elements"], table["flops"]], -1)


def fitted(table: pd.DataFrame, column: str, name: str) -> dict[str, float]:
    """Seconds of a column per step of a stack, per element and per operation of a product."""
    work, seconds = work_of(table), 1e-3 * table[column].to_numpy()
    scale = seconds.mean() / work.mean(0)

    def errors(logarithms: np.ndarray) -> np.ndarray:
        return np.log(work @ (scale * np.exp(logarithms)) / seconds)

    constants = scale * np.exp(least_squares(errors, np.zeros(3)).x)
    names = (f"{name}_PER_{unit}" for unit in ("STEP", "ELEMENT", "FLOP"))
    return dict(zip(names, constants.tolist(), strict=True))


def constants_of(savings: pd.DataFrame, costs: pd.DataFrame) -> dict[str, float]:
    """The constants of vaebench/running/choosing.py, by name, in seconds."""
    medians = costs[["compiling", "loading"]].median()
    costs_of_graph = {f"{part.upper()}_S": float(medians[part]) for part in medians.index}
    saved, taken = fitted(savings, "saved", "SAVED"), fitted(savings, "compiled", "TAKEN")
    return saved | taken | costs_of_graph


def first_step(case: str, file: str) -> None:
    """Take one block of a run's compiled steps; prints the seconds of all processes that took."""
    config = config_of(case, Path(file))
    next(steps_of(config, 1, never()))
    before = sum(os.times()[:4])
    next(steps_of(config, 1, always()))
    print(sum(os.times()[:4]) - before)


def costs(file: Path) -> pd.DataFrame:
    """A row for each case: seconds of one core until a graph can be called."""
    rows = []
    for case in COSTED:
        with tempfile.TemporaryDirectory() as folder:
            caches = {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
            # The first also builds the package's own C, before what is timed.
            timed = [_seconds(case, file, caches) for _ in range(2)]
        rows.append({"case": case, "compiling": timed[0], "loading": timed[1]})
        print(rows[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def _seconds(case: str, file: Path, caches: dict[str, str]) -> float:
    command = [sys.executable, "-c", FIRST_STEP.format(case, str(file))]
    environment = {**VARIABLES, **os.environ, "OMP_NUM_THREADS": "1", **caches}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/compiling"))
    parser.add_argument("--seconds", type=float, default=0.05, help="Of a round of one stack.")
    parser.add_argument("--parts", nargs="+", default=["savings", "costs"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with images() as file:
        if "savings" in arguments.parts:
            savings(file, arguments.seconds).to_csv(arguments.out / "savings.csv", index=False)
        if "costs" in arguments.parts:
            costs(file).to_csv(arguments.out / "costs.csv", index=False)
    text = page(arguments.out)
    (arguments.out / "README.md").write_text(text)
    print(text)


def page(out: Path) -> str:
    """The figures and the constants that follow from them, as Markdown."""
    table, seconds = (pd.read_csv(out / f"{name}.csv") for name in ("savings", "costs"))
    constants = constants_of(table, seconds)
    saved, taken = (1e3 * work_of(table) @ list(constants.values())[i : i + 3] for i in (0, 3))
    table["saved, by the constants"], table["eager, by the constants"] = saved, saved + taken
    named = pd.DataFrame(constants.items(), columns=["constant of running/choosing.py", "value"])
    machine = ", ".join(f"{k} {v}" for k, v in describe("cpu").items())
    parts = [
        "# What a step takes, what compiling it saves, and what that costs",
        "Made by `nox -s compiling`. Milliseconds per step and run, seconds of one core per graph. "
        "`--compile auto` chooses by SAVED, COMPILING and LOADING; `--dry-run` foretells by all.",
        *(part.to_markdown(index=False, floatfmt=".3g") for part in (named, table, seconds)),
        machine,
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
