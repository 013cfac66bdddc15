"""Where a study's time goes, how it shrinks with workers, and how it grows with runs.

`nox -s harness` runs it. The share: the default study with half of its seeds, 70 runs, in this
process, one thread, with its timing pass; the seconds of training steps, of the bounds of the
learning curves, of each grading and of the timing pass; the rest (planning, models, records,
images, progress) is the harness. The workers: the same runs by `vaebench run` without timings,
imports included, in one worker and in two. Both find compiled graphs on disk, where steps are
compiled: the runs are made once before. The growth: `vaebench run` on the digits with 300 steps and
10 samples for each grade.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch

from vaebench.config.study import expand, read
from vaebench.running.harness import run_all

STUDY = Path("benchmarks/studies/digits.toml")
SEEDS = "axes.seed=[0, 1, 2, 3, 4]"
GROWTH = (
    "base.train.num_steps=300",
    "base.evaluate={num_samples=10, num_images=100}",
    'axes.variant=[{objective="elbo"}]',
)
ONE_LIKELIHOOD = 'axes.observation=[{likelihood="bernoulli", data={binarisation="dynamic"}}]'
NUM_RUNS = (1, 10, 100, 1000)
PARTS = ("growth", "workers", "share")
WATCHED = ("training.loop", "training.curves", "running.harness", "evaluation.evaluate")
"""The modules of which a function is timed."""
Spent = defaultdict[str, float]
"""Part of the study -> seconds."""


def share(compiles: str) -> pd.DataFrame:
    """Seconds and share of each part of the study."""
    spent: Spent = defaultdict(float)
    loop, curves, harness, evaluation = map(_module, WATCHED)
    loop.training_steps = _timed_steps(loop.training_steps, spent)
    curves.bounds = _timed(curves.bounds, "learning curves", spent)
    harness.timing_pass = _timed(harness.timing_pass, "timing pass", spent)
    ask = evaluation._asked
    evaluation._asked = lambda entry, *rest: _timed(ask, f"grading {entry.name}", spent)(
        entry, *rest
    )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        configs = expand(read(STUDY, (SEEDS,)))
        run_all(configs, Path(folder), "digits", executor="inline", compiles=compiles)
        total = time.perf_counter() - start
    spent["harness"] = total - sum(spent.values())
    longest_first = sorted(spent.items(), key=lambda item: -item[1])
    return pd.DataFrame(
        [(part, seconds, seconds / total) for part, seconds in longest_first],
        columns=["part", "seconds", "share"],
    )


def scaling(compiles: str) -> pd.DataFrame:
    """Seconds of the study in one worker and in two."""
    options = "--set", SEEDS, "--compile", compiles, "--workers"
    rows = [(n, _seconds_of(*options, str(n))) for n in (1, 2)]
    table = pd.DataFrame(rows, columns=["workers", "seconds"])
    return table.assign(faster=table["seconds"][0] / table["seconds"])


def _module(name: str) -> Any:
    """A module of the package, as what its functions can be replaced in."""
    return import_module(f"vaebench.{name}")


def _timed(function: Callable[..., Any], part: str, spent: Spent) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        spent[part] += time.perf_counter() - start
        return result

    return timed


def _timed_steps(steps: Callable[..., Iterator[Any]], spent: Spent) -> Callable[..., Any]:
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
    rows = [(n, _seconds_of(*_options_for(n))) for n in num_runs]
    table = pd.DataFrame(rows, columns=["runs", "seconds"])
    return table.assign(seconds_per_run=table["seconds"] / table["runs"])


def _options_for(num_runs: int) -> list[str]:
    overrides = (*GROWTH, ONE_LIKELIHOOD, f"axes.seed={list(range(num_runs))}")
    return [word for override in overrides for word in ("--set", override)]


def _seconds_of(*options: str) -> float:
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
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--runs", type=int, nargs="+", default=NUM_RUNS)
    parser.add_argument("--compile", default="auto", help="As that of `vaebench run`.")
    arguments = parser.parse_args()
    out, parts, compiles = arguments.out, arguments.parts, arguments.compile
    out.mkdir(parents=True, exist_ok=True)
    if "growth" in parts:
        grown = growth(tuple(arguments.runs))
        _keep(grown, out / "growth.csv")
        draw(grown, out / "growth.png")
    if "workers" in parts:
        _seconds_of(
            "--set", SEEDS, "--compile", compiles
        )  # so that the graphs of compiled steps are on disk
        _keep(scaling(compiles), out / "workers.csv")
    if "share" in parts:
        _keep(share(compiles), out / "share.csv")


if __name__ == "__main__":
    main()
