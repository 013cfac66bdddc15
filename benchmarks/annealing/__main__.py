"""The NLL of 5,000 samples beside that of annealed importance sampling: `nox -s mnist` calls this.

The first run of each variant on binarised MNIST, on the first test images. Both are upper bounds
of the NLL on average, so the lower one is nearer. `bdmc_gap` is how far annealing can be off, on
images that are simulated from the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench import results
from vaebench.results import Record
from vaebench.running.regrade import Request, regrade

NUM_IMAGES = 100
ANNEALED = {
    "name": "annealed",
    "num_temperatures": 1000,
    "num_chains": 4,
    "num_examples": NUM_IMAGES,
    "num_simulated": 10,
}
METRICS = ("ais_nll", "bdmc_gap")


def is_chosen(record: Record) -> bool:
    """Whether a run is one of those that are graded."""
    labels = record.labels
    return (record.status, labels.seed, labels.likelihood) == ("done", 0, "bernoulli")


def table(folder: Path, runs: Iterable[Record], rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A line for each run: both NLLs on the same images, nats, and annealing's own figures."""
    figures: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["metric"] in METRICS:
            ends = {f"{row['metric']}_{end}": row[end] for end in ("low", "high")}
            figures.setdefault(row["run"], {}).update({row["metric"]: row["value"]} | ends)
    lines = [
        {
            "variant": record.labels.variant,
            "seed": record.labels.seed,
            "images": NUM_IMAGES,
            "nll": results.examples(folder, record.run)["nll"][:NUM_IMAGES].mean(),
            **figures[record.run],
        }
        for record in runs
        if record.run in figures
    ]
    means = pd.DataFrame(lines)
    return means.assign(nll_above_ais=means["nll"] - means["ais_nll"]).sort_values("nll")


def main() -> None:
    """Grade the runs of a folder by annealing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/reference/mnist_longer"))
    arguments = parser.parse_args()
    runs = [run for run in results.records(arguments.folder) if is_chosen(run)]
    request = Request(arguments.folder, [run.run for run in runs], gradings=[ANNEALED])
    lines = table(arguments.folder, runs, regrade(request))
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines.round(4).to_csv(arguments.out / "annealed.csv", index=False)


if __name__ == "__main__":
    main()
