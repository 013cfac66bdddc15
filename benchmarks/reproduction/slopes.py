"""Why the SNR of IWAE's encoder falls more slowly than 1/sqrt(K): dimensions, or how close q is?

`python -m benchmarks.reproduction.slopes [--out FOLDER] [--seeds N] [--only WORDS]` takes the
gradients of the claims `snr-slope-linear`, `snr-slope-linear-8` and `snr-slope-mlp`, and those of
the second again where q(z|x) has come closer to p(z|x), after more training. slopes.csv has the
slope of each run, and beside it what says how close q is: the effective sample size of 64
importance weights, as a share of 64. Rows that are there are kept.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.config.study import Study, from_table
from vaebench.diagnostics.gradients import measure, plan, read_configs
from vaebench.diagnostics.gradients.plan import GradientPlan
from vaebench.diagnostics.gradients.replicas import points
from vaebench.evaluation import bounds
from vaebench.ops.noise import Noise, key
from vaebench.reproduction import read_claim
from vaebench.reproduction.evidence import NotComparableError
from vaebench.reproduction.statements import Slope

TRIED = (
    ("snr-slope-linear", 1000),
    ("snr-slope-linear-8", 1000),
    ("snr-slope-linear-8", 4000),
    ("snr-slope-linear-8", 16000),
    ("snr-slope-mlp", 5000),
)
"""Claims with the steps of training after which gradients are taken."""
SAMPLES, REPLICAS = (4, 16, 64), 256
KEYS = ["claim", "steps", "seed"]


def planned(name: str, steps: int, seed: int) -> GradientPlan:
    """The claim's measurement for one seed, after so many steps."""
    claimed = read_claim(name).study_at("cpu")
    table = {"name": claimed.name, "base": {**claimed.base, "seed": seed}}
    study: Study = from_table(table, [f"base.train.num_steps={steps}"], name)
    return plan(study.name, read_configs(study, list(SAMPLES)), SAMPLES, REPLICAS, (steps,))


def row_of(name: str, steps: int, seed: int) -> dict[str, Any]:
    """The slope of one run, as the claim's statement has it, and how close q is. NaN: no slope."""
    (statement,) = read_claim(name).scale("cpu").statements
    assert isinstance(statement, Slope), "the claim is of a slope"
    measured = planned(name, steps, seed)
    try:
        slope = statement.slope(measure(measured))
    except NotComparableError:  # the noise of so many replicas hides the mean gradient at some K
        slope = math.nan
    return {"claim": name, "steps": steps, "seed": seed, "ess": ess(measured), "slope": slope}


def ess(measured: GradientPlan) -> float:
    """The effective sample size, as a share of K, on the minibatch that gradients are taken of."""
    (point,) = points(measured.trained, measured.at)
    values = bounds(point.model, point.x[0], Noise((key(0, "ess"),)), num_samples=max(SAMPLES))
    return float(values.ess.mean())


def main(out: Path, seeds: int, only: str) -> None:
    """Measure what is not there, and write the table after each run."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "slopes.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=KEYS)
    there = set(table[KEYS].itertuples(index=False, name=None))
    for seed in range(seeds):
        for name, steps in TRIED:
            if (name, steps, seed) not in there and only in f"{name} {steps} {seed}":
                rows = [*table.to_dict("records"), row_of(name, steps, seed)]
                table = pd.DataFrame(rows)
                table.to_csv(path, index=False)
    figures = table.groupby(["claim", "steps"], sort=False)[["ess", "slope"]]
    print(figures.agg(["mean", "sem", "count"]).round(3).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/reproduction"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="Words of the rows that are made.")
    arguments = parser.parse_args()
    main(arguments.out, arguments.seeds, arguments.only)
