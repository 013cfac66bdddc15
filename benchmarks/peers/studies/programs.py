"""Who trains the default study, by which commands."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.studies.variants import LIKELIHOODS, NUM_SEEDS, NUM_STEPS, VARIANTS

STUDY = Path("benchmarks/studies/digits.toml")
COLD, FROM_DISK = "cold", "from disk"
Losses = dict[str, float]
"""Likelihood -> the loss of the last minibatch, the mean over variants and seeds."""


@dataclass(frozen=True)
class Work:
    """How much is trained, and on how many cores."""

    num_steps: int = NUM_STEPS
    num_seeds: int = NUM_SEEDS
    num_cores: int = 1

    @property
    def num_runs(self) -> int:
        """The runs of the study."""
        return len(LIKELIHOODS) * len(VARIANTS) * self.num_seeds

    @property
    def options(self) -> list[str]:
        """The work as options of the peers' programs."""
        return ["--steps", str(self.num_steps), "--seeds", str(self.num_seeds)]


@dataclass(frozen=True)
class Folders:
    """Where a program keeps compiled code, and where it puts what it trains."""

    caches: Path
    out: Path


@dataclass(frozen=True)
class Reading:
    """What a program told of its training."""

    loss_nats: Losses
    untrained_s: float = 0.0
    """Seconds that runs which it left out would take."""


@dataclass(frozen=True)
class Program:
    """A way to train the whole study, from a cold process."""

    name: str
    system: str
    words: str
    commands: Callable[[Work, Folders], list[list[str]]]
    """Commands that are started at once, each on as many of the cores as it is given."""
    read: Callable[[Work, Path, Sequence[str]], Reading]
    """(work, folder, what each command printed) -> what it told."""
    cores: tuple[int, ...] = (1, 2)
    starts: tuple[str, ...] = (COLD, FROM_DISK)
    environment: dict[str, str] = field(default_factory=dict)


def module(name: str) -> list[str]:
    """The command that runs a module."""
    return [sys.executable, "-m", name]


def _vaebench(work: Work, folders: Folders) -> list[list[str]]:
    """Curves as ever, one cheap grading of one sample, no timing pass."""
    settings = (
        f"base.train.num_steps={work.num_steps}",
        f"axes.seed={list(range(work.num_seeds))}",
        "base.evaluate.num_samples=1",
        'base.evaluate.gradings=["likelihood"]',
    )
    overrides = [part for setting in settings for part in ("--set", setting)]
    out = ["--out", str(folders.out), "--workers", str(work.num_cores)]
    return [[*module("vaebench"), "run", str(STUDY), *out, "--no-timings", *overrides]]


def _read_records(work: Work, out: Path, printed: Sequence[str]) -> Reading:
    losses: dict[str, list[float]] = {likelihood: [] for likelihood in LIKELIHOODS}
    for path in sorted((out / "runs").glob("*.json")):
        record = json.loads(path.read_text())
        losses[record["config"]["likelihood"]["name"]].append(record["curves"]["loss_nats"][-1])
    assert sum(map(len, losses.values())) == work.num_runs, "every run has a record"
    return Reading({likelihood: statistics.mean(values) for likelihood, values in losses.items()})


def _jax(work: Work, folders: Folders) -> list[list[str]]:
    """One process, whose threads are XLA's."""
    return [[*_jax_program(work, folders)]]


def _jax_processes(work: Work, folders: Folders) -> list[list[str]]:
    """Two processes, each with the graphs of one likelihood."""
    program = _jax_program(work, folders)
    return [[*program, "--likelihoods", likelihood] for likelihood in LIKELIHOODS]


def _jax_program(work: Work, folders: Folders) -> list[str]:
    program = module("benchmarks.peers.studies.with_jax")
    return [*program, *work.options, "--cache", str(folders.caches / "jax")]


def _read_losses(work: Work, out: Path, printed: Sequence[str]) -> Reading:
    losses: dict[str, list[float]] = {}
    for text in printed:
        losses |= json.loads(text)
    return Reading({likelihood: statistics.mean(values) for likelihood, values in losses.items()})


def _torch(work: Work, folders: Folders) -> list[list[str]]:
    return [[*module("benchmarks.peers.studies.with_torch"), *work.options]]


def _read_timed_runs(work: Work, out: Path, printed: Sequence[str]) -> Reading:
    (text,) = printed
    report = json.loads(text)
    num_left_out = work.num_runs - report["num_runs"]
    return Reading(report["loss_nats"], report["seconds"] / report["num_runs"] * num_left_out)


ON_CPU = {"JAX_PLATFORMS": "cpu"}
PROGRAMS = (
    Program(
        "vaebench",
        "vaebench",
        "`vaebench run`, `--compile auto`; curves and a grading of one sample are in the time.",
        _vaebench,
        _read_records,
    ),
    Program(
        "jax",
        "JAX",
        "A jitted scan under vmap over the seeds, six graphs; trains and grades nothing.",
        _jax,
        _read_losses,
        environment=ON_CPU,
    ),
    Program(
        "jax-processes",
        "JAX",
        "The same in two processes, each with one likelihood's three graphs.",
        _jax_processes,
        _read_losses,
        cores=(2,),
        environment=ON_CPU,
    ),
    Program(
        "pytorch-examples",
        "pytorch/examples",
        "Its loop, run after run: ten runs measured, the others extrapolated from them.",
        _torch,
        _read_timed_runs,
        cores=(1,),
        starts=(COLD,),
    ),
)


def environment(program: Program, folders: Folders) -> dict[str, str]:
    """Variables of a program's processes: no settings of threads, and caches of its own."""
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC", "XLA_FLAGS")
    kept = {name: value for name, value in os.environ.items() if name not in threads}
    caches = {
        "XDG_CACHE_HOME": str(folders.caches),
        "TORCHINDUCTOR_CACHE_DIR": str(folders.caches / "inductor"),
    }
    return kept | caches | program.environment
