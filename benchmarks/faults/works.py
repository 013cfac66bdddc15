"""The commands that are killed: a study, a sweep, an evaluation that is kept, a report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.faults.folders import State, figures_lost
from benchmarks.faults.processes import finish, start

BASE = """
[base]
likelihood = "bernoulli"
data = { name = "data.npz", binarisation = "static" }
model = { latent_dim = 2, widths = [16] }
train = { num_steps = STEPS, batch_size = 16 }
evaluate = { num_samples = 16, num_images = 64, gradings = ["likelihood"] }
"""
"""Layers of 16 and batches of 16: at such sizes a run rounds alike in stacks of any size, so that
what went on after a kill can be compared bit by bit."""
STUDY = f"""
name = "study"
{BASE.replace("STEPS", "500")}
[axes]
seed = [0, 1, 2]
variant = [
    {{ objective = "elbo" }},
    {{ objective = "elbo_mc" }},
    {{ objective = "beta_elbo" }},
    {{ objective = "iwae", num_samples = 4 }},
]
"""
NUM_RUNS = 12
"""The runs of the study."""
SWEEP = f"""
name = "sweep"
{BASE.replace("STEPS", "160")}
[axes]
seed = [0, 1]
variant = [{{ objective = "beta_elbo" }}, {{ objective = "elbo_mc" }}]
[sweep]
budget = {{ trials = 6 }}
batch = 3
pruner = {{ name = "halving", factor = 2 }}
final_seeds = 2
"""
OPTIONS = ("--compile", "never", "--no-timings", "--workers", "2")


@dataclass(frozen=True)
class Work:
    """A command, and what it needs to be there."""

    name: str
    arguments: tuple[str, ...]
    needs: str = ""
    """The work whose folder it reads."""
    has_workers: bool = False
    losses: Callable[[State, State], int] = State.losses
    """Counts what was there before and is there no more."""

    def prepare(self, place: Path, references: Path) -> None:
        """Make the folder in which the command is given."""
        place.mkdir(parents=True)
        write_data(place / "data.npz", seed=0)
        (place / "study.toml").write_text(STUDY)
        (place / "sweep.toml").write_text(SWEEP)
        if self.needs:
            shutil.copytree(references / self.needs / "out", place / "out")


WORKS = {
    work.name: work
    for work in (
        Work("study", ("run", "study.toml", "--out", "out", *OPTIONS), has_workers=True),
        Work(
            "sweep",
            ("sweep", "sweep.toml", "--out", "out", "--no-figures", *OPTIONS),
            has_workers=True,
        ),
        Work(
            "evaluation",
            ("evaluate", "out", "--keep", "--grading", "latent"),
            needs="study",
            losses=figures_lost,  # records grow
        ),
        Work("report", ("report", "out"), needs="study"),
    )
}


def write_data(path: Path, seed: int) -> None:
    """Binary images of 4x4, 256 to train on and 64 to test on."""
    generator = np.random.default_rng(seed)
    images = (generator.random((320, 4, 4)) < generator.random((4, 4))).astype(np.uint8)
    np.savez(path, x_train=images[:256], x_test=images[256:])


def reference(work: Work, references: Path) -> Path:
    """The folder in which a command ran undisturbed, and how many seconds it took; it is
    run where it has not been."""
    place = references / work.name
    if not (place / "undisturbed").exists():
        shutil.rmtree(place, ignore_errors=True)
        work.prepare(place, references)
        since = time.monotonic()
        if status := finish(start(place, work.arguments)):
            raise SystemExit(f"{work.name} ended with status {status}: see {place}/said")
        (place / "undisturbed").write_text(f"{time.monotonic() - since:.1f}")
    return place
