"""What the coordinator of a sweep takes: its share of the time, and trials a second untrained.

A study of 300 steps is tuned twice in one folder. The second time the trials are forgotten and
their runs are kept, so that nothing is trained: what is left is the coordinator's work.
`coordinator_share` is its processor time over the wall time: part of it passes while workers train.
`waiting_share` is the part of the wall time between rounds, in which they wait for it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from vaebench.config.study import Study
from vaebench.config.sweep import Budget, SweepConfig
from vaebench.running.coordinate import Session
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


@contextmanager
def rounds_timed(spent: list[float]) -> Iterator[None]:
    """Add the seconds of each call by which a round is trained."""
    untimed = Session.carry_out

    def timed(*arguments: Any) -> None:
        start = time.perf_counter()
        untimed(*arguments)
        spent.append(time.perf_counter() - start)

    with mock.patch.object(Session, "carry_out", timed):
        yield


def measured(num_trials: int, out: Path, workers: int | None) -> dict[str, float]:
    """Seconds of the sweep and of its coordinator's processor time, then without training."""
    figures: dict[str, float] = {"trials": num_trials}
    spent: list[float] = []
    for what in ("trained", "recorded"):
        start, processor = time.perf_counter(), time.process_time()
        with rounds_timed(spent):
            sweep(STUDY, out, Budget(trials=num_trials), workers=workers, timings=False)
        figures[f"{what}_wall_s"] = time.perf_counter() - start
        figures[f"{what}_coordinator_s"] = time.process_time() - processor
        (out / "sweep.journal").unlink()
    figures["coordinator_share"] = figures["trained_coordinator_s"] / figures["trained_wall_s"]
    figures["waiting_share"] = 1.0 - sum(spent) / figures["trained_wall_s"]
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
