"""Milliseconds of a training step, for each run: `nox -s networks` calls this.

A network as a user writes it, trained in stacks by the suite, eagerly and compiled, beside a plain
PyTorch loop over the same modules, run after run: data in one tensor, batches by index, binary
cross-entropy on logits and the KL in closed form, gradients by autograd, fused Adam. Built-in
models stand beside the modules that they are. Ways take turns on one thread; medians over rounds.
Lines that the file has are kept, so that a call that was stopped goes on: remove it to start anew.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vaebench as vb
from benchmarks.networks.modules import dropping, normed, plain, strided
from vaebench.config import RunConfig, parse
from vaebench.config.build import build_stack, family_of
from vaebench.core.settings import VARIABLES
from vaebench.data import Dataset, Images, Part
from vaebench.models.networks import MODELS, Sizes
from vaebench.training.loop import training_steps
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.ways import always, never

NUM_EXAMPLES, AT_ONCE, ENDLESS = 2000, 10, 10_000_000
LEARNING_RATE = 1e-3
TakeSteps = Callable[[int], int]
"""Take about so many steps of every run; the number that were taken."""


class Size(NamedTuple):
    """Images, codes and minibatches."""

    image_shape: tuple[int, ...]
    latent: int
    batch: int


@dataclass(frozen=True)
class Case:
    """A network at a size."""

    model: str
    size: Size
    hyper: dict[str, Any] = field(default_factory=dict)
    of_one_run: Callable[..., tuple[nn.Module, nn.Module]] | None = None
    """The modules that plain PyTorch trains; None: those of the model itself."""
    stacks: tuple[int, ...] = (1, 8)

    def modules(self, sizes: Sizes) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder of one run."""
        if self.of_one_run is not None:
            return self.of_one_run(sizes)
        return MODELS[self.model].networks(sizes, **self.hyper)


def register_networks() -> None:
    """The modules above as models of the suite. Not at import, as other benchmarks import this."""
    for network in (plain, normed, dropping, strided):
        vb.model()(network)


SMALL, LARGE = Size((8, 8), 8, 64), Size((28, 28), 20, 128)
COLOUR = Size((32, 32, 3), 32, 64)
CASES = {
    "mlp 64-128-8": Case("mlp", SMALL, {"widths": [128]}, partial(plain, width=128)),
    "own module 64-128-8": Case("plain", SMALL, {"width": 128}),
    "own module 64-128-8, batch normalisation": Case("normed", SMALL, {"width": 128}),
    "own module 64-128-8, dropout": Case("dropping", SMALL, {"width": 128, "dropout": 0.1}),
    "own convolutions 8x8": Case("strided", SMALL),
    "mlp 784-400-20": Case("mlp", LARGE, {"widths": [400]}, partial(plain, width=400)),
    "own module 784-400-20": Case("plain", LARGE, {"width": 400}),
    "own convolutions 28x28": Case("strided", LARGE, stacks=(1, 4)),
    "resnet 32x32x3": Case("resnet", COLOUR, {"channels": 16}, stacks=(1, 2)),
}
LINES = [(name, num_runs) for name, case in CASES.items() for num_runs in case.stacks]


def config_of(case: Case, seed: int) -> RunConfig:
    """A run of a case."""
    model = {"name": case.model, "latent_dim": case.size.latent, **case.hyper}
    train = {"num_steps": ENDLESS, "batch_size": case.size.batch, "learning_rate": LEARNING_RATE}
    return parse(
        {"objective": "elbo", "likelihood": "bernoulli", "model": model, "train": train}
        | {"seed": seed}
    )


def data_of(case: Case) -> Dataset:
    """Random binary images of its size."""
    return random_images(case.size.image_shape)


def random_images(image_shape: tuple[int, ...]) -> Dataset:
    """Random binary images."""
    generator = torch.Generator().manual_seed(0)
    size = NUM_EXAMPLES, int(torch.tensor(image_shape).prod())
    part = Part(Images((torch.rand(size, generator=generator) < 0.3).float()), None)
    return Dataset("random", image_shape, "static", "", part, part, part)


def suite(case: Case, num_runs: int, way: MakeBlocks) -> TakeSteps:
    """The training loop of a stack of a case's runs."""
    return stack([config_of(case, seed) for seed in range(num_runs)], data_of(case), way)


def stack(configs: Sequence[RunConfig], dataset: Dataset, way: MakeBlocks) -> TakeSteps:
    """The training loop of a stack."""
    model = build_stack(configs, dataset.image_shape)
    steps = training_steps(model, configs, dataset, way, at_once=AT_ONCE)

    def take(num_steps: int) -> int:
        taken = 0
        while taken < num_steps:
            taken += len(next(steps).losses)
        return taken

    return take


def loops(case: Case, num_runs: int) -> TakeSteps:
    """Run after run, each all its steps, by plain PyTorch."""
    of_runs = [_plain_run(case, seed) for seed in range(num_runs)]

    def take(num_steps: int) -> int:
        for loop in of_runs:
            for _ in range(num_steps):
                next(loop)
        return num_steps

    return take


def _plain_run(case: Case, seed: int) -> Iterator[None]:
    config = config_of(case, seed)
    sizes = family_of(config).sizes(case.size.image_shape)
    torch.manual_seed(seed)
    encoder, decoder = case.modules(sizes)
    data = data_of(case).train.x.view(-1, *case.size.image_shape)
    x_all = data.movedim(-1, 1) if len(case.size.image_shape) == 3 else data[:, None]
    x_all = x_all.contiguous()
    encoder(x_all[:2])  # lazy layers get their sizes
    optimiser = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], LEARNING_RATE, fused=True
    )
    while True:
        for rows in torch.randperm(len(x_all)).split(case.size.batch)[:-1]:
            _plain_step(encoder, decoder, optimiser, x_all[rows])
            yield


def _plain_step(
    encoder: nn.Module, decoder: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor
) -> None:
    optimiser.zero_grad()
    mu, log_var = encoder(x).chunk(2, -1)
    z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var)
    logits = decoder(z).view_as(x)
    distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    rate = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    ((distortion + rate) / len(x)).backward()
    optimiser.step()


def measured(case: Case, num_runs: int, seconds: float, num_rounds: int) -> dict[str, float]:
    """Milliseconds of a step, for each run, by way: medians over rounds of all ways in turn."""
    ways = {
        "plain PyTorch": loops(case, num_runs),
        "eager": suite(case, num_runs, never()),
        "compiled": suite(case, num_runs, always()),
    }
    for take in ways.values():
        take(AT_ONCE)
    start = time.perf_counter()
    ways["plain PyTorch"](AT_ONCE)
    num_steps = max(AT_ONCE, round(seconds / (time.perf_counter() - start)) * AT_ONCE)
    rounds = [
        {name: _milliseconds(take, num_steps) / num_runs for name, take in ways.items()}
        for _ in range(num_rounds)
    ]
    return {name: statistics.median(r[name] for r in rounds) for name in ways}


class Table:
    """The file of the medians, in the order of LINES, written anew with each line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        known: list[Any] = pd.read_csv(file).to_dict("records") if file.exists() else []
        self.rows: dict[tuple[str, int], Any] = {(r["network"], r["runs"]): r for r in known}

    def put(self, name: str, num_runs: int, of_way: dict[str, float]) -> None:
        """Add a line."""
        self.rows[name, num_runs] = {"network": name, "runs": num_runs, **of_way}
        ordered = [self.rows[line] for line in LINES if line in self.rows]
        unfinished = self.file.with_suffix(".part")
        pd.DataFrame(ordered).to_csv(unfinished, index=False, float_format="%.4g")
        unfinished.replace(self.file)


def _milliseconds(take: TakeSteps, num_steps: int) -> float:
    start = time.perf_counter()
    taken = take(num_steps)
    return 1e3 * (time.perf_counter() - start) / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/runs/networks"))
    parser.add_argument("--only", help="Cases with this word in their names.", default="")
    parser.add_argument("--seconds", type=float, default=0.1, help="Of each way in a round.")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not VARIABLES.items() <= os.environ.items():  # which libraries read when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **VARIABLES})
    torch.set_num_threads(1)
    register_networks()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = Table(arguments.out / "cost.csv")
    for name, num_runs in LINES:
        if arguments.only in name and (name, num_runs) not in table.rows:
            of_way = measured(CASES[name], num_runs, arguments.seconds, arguments.rounds)
            table.put(name, num_runs, of_way)
            print(name, num_runs, of_way, flush=True)


if __name__ == "__main__":
    main()
