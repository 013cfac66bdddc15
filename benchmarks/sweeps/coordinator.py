"""What the coordinator of a sweep takes: its share of the time, and trials a second untrained.

A study of 300 steps is tuned twice in one folder. The second time the trials are forgotten and
their runs are kept, so that nothing is trained: what is left is the coordinator's work.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

from vaebench.config.study import Study
from vaebench.config.sweep import Budget, SweepConfig
from vaebench.running.sweeps.sweep import sweep

STUDY = Study(
    name="coordinator",
    base={
        "objective": "beta_elbo",
        "likelihood": "bernoulli",
        "data.binarisation": "dynamic",
        "train.num_steps": 300,
    },
    sweep=SweepConfig(final_seeds=0),
)


def measured(num_trials: int, out: Path, workers: int | None) -> dict[str, float]:
    """Seconds of the sweep and of its coordinator's processor time, then without training."""
    figures: dict[str, float] = {"trials": num_trials}
    for what in ("trained", "recorded"):
        start, processor = time.perf_counter(), time.process_time()
        sweep(STUDY, out, Budget(trials=num_trials), workers=workers, timings=False)
        figures[f"{what}_wall_s"] = time.perf_counter() - start
        figures[f"{what}_coordinator_s"] = time.process_time() - processor
        (out / "sweep.journal").unlink()
    figures["coordinator_share"] = figures["trained_coordinator_s"] / figures["trained_wall_s"]
    figures["trials_per_s_without_training"] = num_trials / figures["recorded_wall_s"]
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame([measured(arguments.trials, Path(folder), arguments.workers)])
    print(table.T.to_string(header=False))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out / "coordinator.csv", index=False)
