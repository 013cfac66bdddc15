"""What explains how `altosaar-mean-field` differs: the optimiser, the scales of q(z|x), the loss?

`python -m benchmarks.reproduction.optimisers [--out FOLDER] [--seeds N] [--only WORDS]` trains
784-256-256-128 in plain torch on static MNIST for 10,000 steps by RMSprop with centred squares, as
published, by RMSprop without, and by Adam as the claim's study has it; with standard deviations by
softplus, as published, and by exp of half the log variance, as in the study; by the sum of losses
over a minibatch, as published, and by their mean, beside which epsilon is larger. optimisers.csv
has what each reaches on the validation part; rows that are there are kept.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F

from vaebench.data import load

LATENT, HIDDEN, BATCH = 128, 256, 128
NUM_STEPS, RATE = 10_000, 1e-3
NUM_SAMPLES, NUM_VALIDATED = 128, 2_000
"""Samples of log p(x), and validation images, a seeded choice, that it is the mean of."""

OPTIMISERS: Mapping[str, Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]] = {
    "RMSprop, centred": lambda p: torch.optim.RMSprop(p, lr=RATE, centered=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=RATE),
    "Adam, beta1 = 0, beta2 = 0.99": lambda p: torch.optim.Adam(p, lr=RATE, betas=(0.0, 0.99)),
}


def network(num_inputs: int, num_outputs: int) -> nn.Sequential:
    """Two hidden layers with ReLU, as published."""
    return nn.Sequential(
        nn.Linear(num_inputs, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, num_outputs),
    )


def of_half(log_var: Tensor) -> Tensor:
    """The standard deviations of log variances."""
    return torch.exp(0.5 * log_var)


SCALES: Mapping[str, Callable[[Tensor], Tensor]] = {"softplus": F.softplus, "log var": of_half}
REDUCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"sum": torch.sum, "mean": torch.mean}
TRIED = (
    ("RMSprop, centred", "softplus", "sum"),
    ("RMSprop", "softplus", "sum"),
    ("Adam, beta1 = 0, beta2 = 0.99", "softplus", "sum"),
    ("Adam, beta1 = 0, beta2 = 0.99", "log var", "sum"),
    ("Adam, beta1 = 0, beta2 = 0.99", "log var", "mean"),
)


class Model(nn.Module):
    """The published VAE, with Bernoulli pixels; `scale`: a key of SCALES."""

    def __init__(self, num_pixels: int, scale: str = "softplus") -> None:
        super().__init__()
        self.scale = SCALES[scale]
        self.encoder = network(num_pixels, 2 * LATENT)
        self.decoder = network(LATENT, num_pixels)

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log w [K, B] of images [B, P]."""
        loc, scale = self.encoder(x).chunk(2, -1)
        q = Normal(loc, self.scale(scale))
        z = q.rsample((num_samples,))
        return self.log_joint(x, z) - q.log_prob(z).sum(-1)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) [K, B] of images [B, P] and codes [K, B, D]."""
        logits = self.decoder(z)
        losses = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return Normal(0.0, 1.0).log_prob(z).sum(-1) - losses.sum(-1)


def trained(
    optimiser: str, seed: int, x: Tensor, scale: str = "softplus", reduction: str = "sum"
) -> Model:
    """The model after all steps, by reshuffled minibatches."""
    torch.manual_seed(seed)
    model = Model(x.shape[-1], scale)
    descent = OPTIMISERS[optimiser](model.parameters())
    for rows in itertools.islice(minibatches(len(x)), NUM_STEPS):
        descent.zero_grad()
        REDUCTIONS[reduction](-model.log_weights(x[rows], 1)).backward()
        descent.step()
    return model


def minibatches(num: int) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(num).split(BATCH)


@torch.no_grad()
def graded(model: Model, x: Tensor) -> tuple[float, float]:
    """ELBO and log p(x) by NUM_SAMPLES samples, means over images."""
    parts = [model.log_weights(rows, NUM_SAMPLES) for rows in x.split(50)]
    log_w = torch.cat(parts, 1)
    return float(log_w.mean()), float((log_w.logsumexp(0) - math.log(NUM_SAMPLES)).mean())


def images() -> tuple[Tensor, Tensor]:
    """The training images, and those of the validation part that are graded."""
    data = load("binarized_mnist", "static")
    chosen = torch.randperm(len(data.valid), generator=torch.Generator().manual_seed(0))
    return data.train.x, data.valid.x[chosen[:NUM_VALIDATED]]


COLUMNS = ("optimiser", "scale", "loss", "seed", "steps", "valid_elbo", "valid_log_px")


def main(out: Path, seeds: int, only: str) -> None:
    torch.set_num_threads(1)
    x, validated = images()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "optimisers.csv"
    kept = list(csv.reader(path.open())) if path.is_file() else [list(COLUMNS)]
    there = {tuple(row[:4]) for row in kept}
    for seed, (optimiser, scale, reduction) in itertools.product(range(seeds), TRIED):
        key = (optimiser, scale, reduction, str(seed))
        if key not in there and only in "; ".join(key[:3]):
            elbo, log_px = graded(trained(optimiser, seed, x, scale, reduction), validated)
            kept.append([*key, str(NUM_STEPS), repr(elbo), repr(log_px)])
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/reproduction"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="Words of the rows that are made.")
    arguments = parser.parse_args()
    main(arguments.out, arguments.seeds, arguments.only)
