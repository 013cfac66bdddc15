"""Training in bfloat16 against float32, time and ELBO side by side: `nox -s precision` calls this.

The same runs train in both precisions, eager and compiled, all four by turns on one thread: a round
is a few steps of each, and the rounds together are the whole training. Times are of the process.
Afterwards every run is graded by the shared evaluation, which computes in float32.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vaebench.config import RunConfig, parse
from vaebench.config.build import build_stack, load_data, streams
from vaebench.core.errors import InputError
from vaebench.core.settings import VARIABLES
from vaebench.data import load
from vaebench.evaluation import bounds
from vaebench.models import VAE
from vaebench.report.statistics.intervals import mean_interval
from vaebench.running.environment import describe
from vaebench.training.curves import Step
from vaebench.training.loop import training_steps
from vaebench.training.progress import Progress
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import always, never

STEPS: dict[str, MakeBlocks] = {"eager": never(), "compiled": always()}
PRECISIONS = ("float32", "bfloat16")
GRADES = ("elbo", "nll")
NUM_SAMPLES = 100
"""K of the evaluation."""
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
"""For products in bfloat16, as Linux names them; the last on Arm."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Size:
    """P-H-D with its minibatch, and how many runs train for how many rounds."""

    label: str
    data: str
    hidden: int  # H
    latent: int  # D
    batch: int  # B
    num_runs: int  # S
    num_rounds: int
    round_steps: int
    num_images: int
    """The most test images that are graded: the evaluation is no part of what is measured."""

    def configs(self, precision: str) -> list[RunConfig]:
        """One run for each seed, as the default study has them."""
        raw = {
            "objective": "elbo",
            "likelihood": "bernoulli",
            "data": {"name": self.data, "binarisation": "dynamic"},
            "model": {"latent_dim": self.latent, "widths": [self.hidden]},
            "train": {
                "num_steps": (1 + self.num_rounds) * self.round_steps,
                "batch_size": self.batch,
                "learning_rate": 1e-3,
                "precision": precision,
            },
        }
        return [parse({**raw, "seed": seed}) for seed in range(self.num_runs)]


SIZES = (
    Size("64-128-8, B=64", "digits", 128, 8, 64, 8, num_rounds=25, round_steps=180, num_images=360),
    Size("784-400-20, B=128", "mnist", 400, 20, 128, 4, 20, round_steps=78, num_images=1000),
)


@dataclass(frozen=True)
class Kind:
    """One way to train: a stack with its loop, which ends a block with every round."""

    precision: str
    step: str
    configs: Sequence[RunConfig]
    model: VAE
    loop: Iterator[Step[Progress]]

    @property
    def names(self) -> dict[str, str]:
        return {"step": self.step, "precision": self.precision}


def prepare(size: Size, step: str, precision: str) -> Kind:
    """Its first steps are done: that compiles."""
    configs = size.configs(precision)
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    loop = training_steps(model, configs, dataset, STEPS[step], at_once=size.round_steps)
    next(loop)
    return Kind(precision, step, configs, model, loop)


def measure(size: Size) -> tuple[Rows, Rows]:
    """Milliseconds per step and run, of every round; grades of every run."""
    torch.set_num_threads(1)
    kinds = [prepare(size, step, precision) for step in STEPS for precision in PRECISIONS]
    times: Rows = [
        {"size": size.label, **kind.names, "round": index, "ms": round_ms(kind.loop, size)}
        for index in range(size.num_rounds)
        for kind in (reversed(kinds) if index % 2 else kinds)
    ]
    return times, [row for kind in kinds for row in graded(kind, size)]


def round_ms(loop: Iterator[Step[Progress]], size: Size) -> float:
    """Milliseconds per step and run."""
    start = time.process_time()
    num_steps = 0
    while num_steps < size.round_steps:
        num_steps += len(next(loop).losses)
    return 1e3 * (time.process_time() - start) / (size.round_steps * size.num_runs)


def graded(kind: Kind, size: Size) -> Iterator[dict[str, Any]]:
    """A row for each run: its held-out bounds in nats."""
    x = load_data(kind.configs[0].data).observe("test")[: size.num_images]
    noise = streams(kind.configs, "evaluate")
    graded = bounds(kind.model, x, noise, num_samples=NUM_SAMPLES)
    means = {name: getattr(graded, name).mean(-1).tolist() for name in GRADES}
    for run, config in enumerate(kind.configs):
        values = {name: means[name][run] for name in GRADES}
        yield {"size": size.label, **kind.names, "seed": config.seed, **values}


def summarise(times: pd.DataFrame, grades: pd.DataFrame) -> pd.DataFrame:
    """A line for each size, step and precision, as text."""
    keys = ["size", "step"]
    grades_of = dict(iter(grades.groupby(keys)))
    lines = [
        {**dict(zip(keys, key, strict=True)), "precision": precision, **line}
        for key, part in times.groupby(keys, sort=False)
        for precision, line in _lines(part, grades_of[key])
    ]
    return pd.DataFrame(lines)


def _lines(times: pd.DataFrame, grades: pd.DataFrame) -> Iterator[tuple[str, dict[str, str]]]:
    """Both precisions of one size and step."""
    ms = times.pivot(index="round", columns="precision", values="ms")
    by_seed = {
        name: grades.pivot(index="seed", columns="precision", values=name) for name in GRADES
    }
    for precision in PRECISIONS:
        low, middle, high = ms[precision].quantile([0.2, 0.5, 0.8])
        line = {
            "ms per step and run [20%, 80%]": f"{middle:.3g} [{low:.3g}, {high:.3g}]",
            "speed-up": f"{(ms[PRECISIONS[0]] / ms[precision]).median():.2f}",
        }
        for name, values in by_seed.items():
            line[f"{name.upper()} (nats)"] = f"{values[precision].mean():.2f}"
            line[f"{name.upper()} difference [95%]"] = _difference(values, precision)
        yield precision, line


def _difference(by_seed: pd.DataFrame, precision: str) -> str:
    """From float32, paired by seed."""
    if precision == PRECISIONS[0]:
        return ""
    interval = mean_interval((by_seed[precision] - by_seed[PRECISIONS[0]]).to_list())
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def instructions(cpuinfo: str) -> str:
    """Which of INSTRUCTIONS /proc/cpuinfo lists, in words."""
    lines = [
        line for line in cpuinfo.splitlines() if line.lower().startswith(("flags", "features"))
    ]
    if not lines:
        return "unknown"
    present = set(INSTRUCTIONS) & set(lines[0].split())
    return ", ".join(name for name in INSTRUCTIONS if name in present) or "none"


def described() -> dict[str, str]:
    """Versions and hardware, with what the CPU has for bfloat16."""
    path = Path("/proc/cpuinfo")
    words = instructions(path.read_text() if path.is_file() else "")
    return {**describe("cpu"), "instructions for bfloat16": words}


def page(table: pd.DataFrame, skipped: Sequence[str], environment: Mapping[str, str]) -> str:
    """The table as Markdown, with what it lacks and what it was made with."""
    versions = ", ".join(f"{name} {value}" for name, value in environment.items())
    text = table.to_markdown(index=False, disable_numparse=True)
    return "\n\n".join([text, *skipped, f"Made with {versions}."]) + "\n"


def why_skipped(size: Size) -> str:
    """A line where the data of a size cannot be had, else nothing."""
    try:
        load(size.data, "dynamic")
    except InputError as error:
        return f"{size.label} was skipped: {error}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/runs/precision"))
    arguments = parser.parse_args()
    os.environ.update({**VARIABLES, "OMP_NUM_THREADS": "1"})  # for the processes that measure
    skipped = {size: reason for size in SIZES if (reason := why_skipped(size))}
    times: Rows = []
    grades: Rows = []
    for size in (size for size in SIZES if size not in skipped):
        print(f"{size.label}: {size.num_runs} runs of each kind", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            more_times, more_grades = process.submit(measure, size).result()
        times, grades = times + more_times, grades + more_grades
    arguments.out.mkdir(parents=True, exist_ok=True)
    frames = {"times": pd.DataFrame(times), "grades": pd.DataFrame(grades)}
    for name, frame in frames.items():
        frame.to_csv(arguments.out / f"{name}.csv", index=False)
    text = page(summarise(**frames), list(skipped.values()), described())
    (arguments.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
