"""Trains on a data set of many GB that lies in a file: how much memory of its own that takes.

The file is sparse, so that it costs no disk: one image in a thousand is not black. What counts is
the process's own memory (anonymous pages); the pages of the file are the system's, which takes
them back as it needs to.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vaebench.config import parse
from vaebench.config.build import load_data
from vaebench.config.resolve import resolve
from vaebench.running.environment import default_device
from vaebench.training.loop import train

PIXELS, EVERY, HELD_OUT, STEPS = 784, 1000, 1000, 200


def own_gib() -> float:
    """The process's anonymous memory, in GiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous")) / 2**20


def written(folder: Path, num_bytes: int) -> None:
    """A folder of images, x_train.npy of about so many bytes."""
    rng = np.random.default_rng(0)
    shape = (num_bytes // PIXELS, PIXELS)
    x = np.lib.format.open_memmap(folder / "x_train.npy", "w+", np.uint8, shape)
    x[::EVERY] = rng.integers(0, 256, x[::EVERY].shape)
    x.flush()
    for part in ("valid", "test"):
        np.save(folder / f"x_{part}.npy", rng.integers(0, 256, (HELD_OUT, PIXELS)).astype(np.uint8))


def main() -> None:
    """Print seconds and memory of each part of the work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=10.0)
    gb = parser.parse_args().gb
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder), int(gb * 1e9))
        before, start = own_gib(), time.perf_counter()
        settings = {"num_steps": STEPS, "batch_size": 128}
        (config,) = resolve(
            [
                parse(
                    {
                        "objective": "elbo",
                        "likelihood": "continuous_bernoulli",
                        "data": {"name": f"{folder}/", "values": "unit"},
                        "model": {"latent_dim": 20, "widths": [400]},
                        "train": settings,
                        "evaluate": {"gradings": ["likelihood"]},
                    }
                )
            ]
        )
        dataset = load_data(config.data)
        read, loaded = own_gib(), time.perf_counter()
        trained = train([config], dataset, torch.device(default_device()))
        print(f"{len(dataset.train):,} images of {PIXELS} bytes: {gb:g} GB")
        print(f"checked and hashed in {loaded - start:.0f} s, {read - before:.2f} GiB of memory")
        print(
            f"{STEPS} steps in {time.perf_counter() - loaded:.0f} s, {own_gib() - before:.2f} GiB"
        )
        last = {name: values[-1] for name, values in trained.curves[0].items()}
        print(", ".join(f"{name} {value:.4g}" for name, value in last.items()))


if __name__ == "__main__":
    main()
