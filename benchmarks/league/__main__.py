"""How long a page of 100 bundles takes.

`python -m benchmarks.league` trains one tiny study on the digits, makes 100 bundles of it that
differ in name and in the NLL of their runs, and ranks them in a process of its own, as a user does.
It exits with status 1 where that takes longer than MOST_S. `--regrade` grades all of them again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from vaebench import results
from vaebench.config import parse
from vaebench.config.resolve import resolve
from vaebench.league import submit
from vaebench.running.harness import run_all

NUM_BUNDLES, NUM_SEEDS, MOST_S = 100, 3, 60.0
OBJECTIVES = ("elbo", "elbo_mc")
SPREAD = 0.05
"""Standard deviation, in nats, of what is added to the NLL of a submission's runs."""


def main() -> None:
    """Print the seconds that the page takes."""
    regrade = ["--regrade", "--quiet"] if "--regrade" in sys.argv[1:] else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "study"
        train(folder)
        bundles = bundles_of(folder, Path(name) / "bundles", spread=0.0 if regrade else SPREAD)
        command = [sys.executable, "-m", "vaebench", "league", *map(str, bundles)]
        start = time.perf_counter()
        subprocess.run([*command, "--out", f"{name}/site", *regrade], check=True)
        seconds = time.perf_counter() - start
        size = (Path(name) / "site" / "index.html").stat().st_size
    graded = ", graded again" if regrade else ""
    print(f"{len(bundles)} bundles{graded}: {seconds:.1f} s, a page of {size:,} bytes")
    if seconds > MOST_S and not regrade:
        sys.exit(1)


def train(folder: Path) -> None:
    """A study of two variants and three seeds, of a few steps."""
    table = {
        "likelihood": "bernoulli",
        "data": {"name": "digits", "binarisation": "dynamic"},
        "model": {"latent_dim": 2, "widths": [8]},
        "train": {"num_steps": 20, "batch_size": 64},
        "evaluate": {"num_samples": 5},
    }
    configs = [
        parse({**table, "objective": objective, "seed": seed})
        for objective in OBJECTIVES
        for seed in range(NUM_SEEDS)
    ]
    run_all(resolve(configs), folder, "league", executor="inline")


def bundles_of(folder: Path, out: Path, spread: float) -> list[Path]:
    """Bundles of one study, whose runs have a little more or less NLL in each."""
    generator = np.random.default_rng(0)
    out.mkdir()
    records = list(results.records(folder))
    kept = {record.run: results.examples(folder, record.run) for record in records}
    paths = []
    for place in range(NUM_BUNDLES):
        for record in records:
            shift = float(generator.normal(0.0, spread))
            values = kept[record.run]
            moved = {**values, "nll": values["nll"] + np.float32(shift)}
            results.write_examples(folder, record.run, moved)
            results.write(folder, _moved(record, shift))
        path = out / f"{place:03}.zip"
        submit(folder, path, name=f"submission {place}")
        paths.append(path)
    return paths


def _moved(record: results.Record, shift: float) -> results.Record:
    metrics = [
        replace(m, value=m.value + shift) if m.metric == "nll" and m.value is not None else m
        for m in record.metrics
    ]
    return replace(record, metrics=metrics)


if __name__ == "__main__":
    main()
