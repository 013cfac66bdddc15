"""Where a training step's time goes, before and now: `nox -s steps` calls this.

Stacks of one size train in processes of their own, one thread each, by turns: a commit of before,
the eager step and the compiled one. In every round each is timed, then profiled; the parts of the
profile are brought to the time that was measured without it: see `parts.parts_s`. A window is
a whole number of epochs, so what is done once an epoch has its share. Times are of the process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.steps.parts import PARTS, REST, Window, markdown, parts_s, summarise
from vaebench.core.errors import InputError
from vaebench.core.settings import VARIABLES
from vaebench.data import load
from vaebench.running.environment import describe

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("measured.py")
ENVIRONMENT = {**VARIABLES, "OMP_NUM_THREADS": "1"}
"""What the package's own workers have, with one thread; code of before gets it too."""
NUM_BATCHES = 78
"""In an epoch of the large size: enough images that they do not fit a cache."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "0.75")
"""Colours of the parts in their order; readable with any colour vision (Okabe & Ito 2008)."""


@dataclass(frozen=True)
class Size:
    """P-H-D with its minibatch and stacks. A window of `steps` is a whole number of epochs."""

    pixels: int  # P
    hidden: int  # H
    latent: int  # D
    batch: int  # B
    stacks: tuple[int, ...]
    steps: int

    @property
    def label(self) -> str:
        return f"{self.pixels}-{self.hidden}-{self.latent}, B={self.batch}"


SMALL = Size(64, 128, 8, 64, stacks=(1, 8, 32), steps=8 * 18)
LARGE = Size(784, 400, 20, 128, stacks=(1, 4), steps=NUM_BATCHES)


@dataclass(frozen=True)
class Variant:
    """Which code takes the step, and how."""

    name: str
    source: Path
    compiled: bool = False


@dataclass
class Process:
    """One variant with its stack, waiting for commands."""

    variant: Variant
    case: dict[str, Any]
    event_s: float = 0.0
    """What the profiler adds for each event."""
    log: Any = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(self.case)],
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(self.variant.source)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def get_ready(self) -> str:
        """Wait until it is warm; where its package lies."""
        started = self.read()
        self.event_s = started["event_s"]
        return str(started["package"])

    def read(self) -> Any:
        """The next answer. Raises RuntimeError with what the process said, where it ended."""
        assert self.process.stdout, "it is a pipe"
        if line := self.process.stdout.readline():
            return json.loads(line)
        self.log.seek(0)
        raise RuntimeError(f"{self.variant.name} ended:\n{self.log.read().decode()[-2000:]}")

    def ask(self, command: str) -> Any:
        assert self.process.stdin, "it is a pipe"
        print(command, file=self.process.stdin, flush=True)
        return self.read()

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()


def unpack(commit: str, folder: Path) -> Path:
    """The tree of a commit, in a new folder. Ends the program where there is no such commit."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if archive.returncode:
        reason = archive.stderr.decode().strip()
        sys.exit(f"steps: --before needs a commit that this clone holds; {commit}: {reason}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(folder / "before", filter="data")
    return folder / "before"


def store_images(size: Size, folder: Path) -> tuple[str, str]:
    """The data set of a size, as a study names it, and in words. Random where it is not there."""
    if size == SMALL:
        return "digits", "digits, binarised anew each epoch"
    num_images = NUM_BATCHES * size.batch
    try:
        grey = 255 * load("mnist", "none").train.x[:num_images].numpy()
        images = f"{num_images} training images of MNIST, binarised anew each epoch"
    except InputError:
        grey = 255 * (np.random.default_rng(0).random((num_images, size.pixels)) < 0.13)
        images = f"{num_images} random binary images, as MNIST is not there"
    x = np.rint(grey).astype(np.uint8)
    np.savez(folder / "large.npz", x_train=x, x_valid=x[: size.batch], x_test=x[: size.batch])
    return str(folder / "large.npz"), images


def measure(
    size: Size, runs: int, data: str, variants: Sequence[Variant], num_rounds: int
) -> Iterator[dict[str, Any]]:
    """A row for each round of each variant: ms per step and run, in all and by part."""
    case = asdict(size) | {"runs": runs, "data": data}
    processes = [Process(v, {**case, "compiled": v.compiled}) for v in variants]
    try:
        for process in processes:
            _say(f"{size.label}, {runs} runs, {process.variant.name}: {process.get_ready()}")
        for index in range(num_rounds):
            order = random.Random(index).sample(processes, len(processes))
            rows = {process.variant.name: _row(process, size.steps * runs) for process in order}
            yield from ({"variant": v.name, "round": index, **rows[v.name]} for v in variants)
    finally:
        for process in processes:
            process.stop()


def _row(process: Process, num: int) -> dict[str, float]:
    """`num`: steps of a window times runs."""
    plain, window = process.ask("time"), Window(**process.ask("profile"))
    parts = parts_s(window, plain["cpu_s"], process.event_s)
    seconds = {**parts, "total": plain["cpu_s"], "wall": plain["wall_s"], "profiled": window.cpu_s}
    times = {f"{name}_ms": 1e3 * value / num for name, value in seconds.items()}
    return {**times, "events": window.num_events, "event_us": 1e6 * process.event_s}


def figure(table: pd.DataFrame) -> Figure:
    """A bar for each stack and variant, made of its parts; a panel for each size."""
    sizes = list(table["size"].unique())
    drawn = Figure(figsize=(6.4 * len(sizes), 4.6), layout="constrained")
    panels = drawn.subplots(1, len(sizes), squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        _bars(axes, table[table["size"] == size])
        axes.set_title(size, loc="left", fontsize=10)
        axes.set_xlabel("ms per training step and run, one thread")
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    return drawn


def _bars(axes: Any, lines: pd.DataFrame) -> None:
    stacks = lines["runs"].rank(method="dense")
    places = [i + 0.6 * stack for i, stack in enumerate(stacks)]  # a gap between stacks
    left = np.zeros(len(lines))
    for part, colour in zip((*PARTS, REST), COLOURS, strict=True):
        width = lines[part].clip(lower=0.0).to_numpy()
        axes.barh(places, width, left=left, color=colour, label=part, height=0.8)
        left = left + width
    for place, total in zip(places, lines["total_ms"], strict=True):
        axes.text(total, place, f" {total:.3g}", va="center", fontsize="small")
    names = zip(lines["runs"], lines["variant"], strict=True)
    axes.set_yticks(places, [f"{n} run{'s' * (n > 1)}, {v}" for n, v in names], fontsize="small")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def write(rows: pd.DataFrame, out: Path) -> None:
    """rows.csv with every round, table.md and steps.png of their medians."""
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "rows.csv", index=False)
    table = summarise(rows)
    environment = ", ".join(f"{name} {value}" for name, value in describe("cpu").items())
    (out / "table.md").write_text(f"{markdown(table)}\nMade with {environment}.\n")
    figure(table).savefig(out / "steps.png", dpi=140)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/runs/steps"))
    parser.add_argument("--before", default="e220ce0", metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="steps-") as name:
        before = Variant(f"before ({arguments.before})", unpack(arguments.before, Path(name)))
        variants = [before, Variant("eager", ROOT), Variant("compiled", ROOT, compiled=True)]
        for size in (SMALL, LARGE):
            data, images = store_images(size, Path(name))
            for runs in size.stacks:
                measured = measure(size, runs, data, variants, arguments.rounds)
                rows += [
                    {"size": size.label, "images": images, "runs": runs} | row for row in measured
                ]
    write(pd.DataFrame(rows), arguments.out)
    print((arguments.out / "table.md").read_text())


if __name__ == "__main__":
    main()
