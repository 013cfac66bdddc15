"""What the harness costs beside training and grading, and how a study's time grows with its runs.

`nox -s harness` runs it. The share: 60 runs of the default study (six seeds, both likelihoods, five
of its variants) in this process, one thread. Time within training steps, within the bounds of the
learning curves and within the evaluation of trained runs is the work; the rest (planning, models,
records, images, progress, what evaluation sets up once) is the harness. The growth: `vaebench run`
as a user starts it, imports included, on the digits with 300 steps and 10 samples for each grade.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch

from vaebench.config.study import expand, read
from vaebench.running import job as stack
from vaebench.running.harness import train_all
from vaebench.training import curves
from vaebench.training import loop as train

STUDY = Path("benchmarks/studies/digits.toml")
SEEDS = "axes.seed=[0, 1, 2, 3, 4, 5]"
SHARE_VARIANTS = (
    'axes.variant=[{objective="elbo"}, {objective="elbo_mc"}, '
    '{objective={name="beta_elbo", beta=0.5}}, {objective={name="beta_elbo", beta=4.0}}, '
    '{objective="iwae", num_samples=5}]'
)
GROWTH = (
    "base.train.num_steps=300",
    "base.evaluate={num_samples=10, num_images=100}",
    'axes.variant=[{objective="elbo"}]',
)
ONE_LIKELIHOOD = 'axes.observation=[{likelihood="bernoulli", data={binarisation="dynamic"}}]'
NUM_RUNS = (1, 10, 100, 1000)


def share() -> pd.DataFrame:
    """Seconds and share of each part of a study of 60 runs."""
    spent: Counter[str] = Counter()
    configs = expand(read(STUDY, (SEEDS, SHARE_VARIANTS)))
    assert len(configs) == 60
    train.training_steps = _timed_steps(train.training_steps, spent)  # type: ignore[assignment]
    curves.bounds = _timed(curves.bounds, "learning curves", spent)
    stack.evaluate = _timed(stack.evaluate, "evaluation", spent)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        train_all(configs, Path(folder), "digits", executor="inline", workers=1)
        total = time.perf_counter() - start
    spent["harness"] = total - spent.total()
    return pd.DataFrame(
        [(part, seconds, seconds / total) for part, seconds in spent.items()],
        columns=["part", "seconds", "share"],
    )


def _timed(function: Callable[..., Any], part: str, spent: Counter[str]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        spent[part] += time.perf_counter() - start
        return result

    return timed


def _timed_steps(steps: Callable[..., Iterator[Any]], spent: Counter[str]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
        loop = steps(*args, **kwargs)
        start = time.perf_counter()
        for step in loop:
            spent["training steps"] += time.perf_counter() - start
            yield step
            start = time.perf_counter()

    return timed


def growth(num_runs: tuple[int, ...]) -> pd.DataFrame:
    """Seconds of a whole `vaebench run` for so many runs."""
    rows = [(n, _seconds_of(n)) for n in num_runs]
    table = pd.DataFrame(rows, columns=["runs", "seconds"])
    return table.assign(seconds_per_run=table["seconds"] / table["runs"])


def _seconds_of(num_runs: int) -> float:
    overrides = (*GROWTH, ONE_LIKELIHOOD, f"axes.seed={list(range(num_runs))}")
    options = [word for override in overrides for word in ("--set", override)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vaebench", "run", str(STUDY), "--out", folder]
        start = time.perf_counter()
        subprocess.run([*command, "--no-timings", *options], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def draw(table: pd.DataFrame, path: Path) -> None:
    """Total time against the number of runs, both on logarithmic axes."""
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    axes.loglog(table["runs"], table["seconds"], "o-", label="vaebench run, start to end")
    last = table.iloc[-1]
    axes.loglog(
        table["runs"],
        last["seconds_per_run"] * table["runs"],
        "--",
        color="grey",
        label=f"{1e3 * last['seconds_per_run']:.0f} ms per run",
    )
    axes.set(xlabel="runs of the study", ylabel="seconds")
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _keep(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False)
    print(table.to_string(index=False, float_format="%.4g"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/harness"))
    parser.add_argument("--runs", type=int, nargs="+", default=NUM_RUNS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    grown = growth(tuple(arguments.runs))
    _keep(grown, arguments.out / "growth.csv")
    draw(grown, arguments.out / "growth.png")
    _keep(share(), arguments.out / "share.csv")


if __name__ == "__main__":
    main()
