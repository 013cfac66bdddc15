"""Why do the runs of `altosaar-iaf` overfit: by the optimiser, or by the masked networks?

`python -m benchmarks.reproduction.flows [--out FOLDER] [--only WORDS]` trains the published model
in plain torch on static MNIST, a VAE whose q(z|x) is a Gaussian and two inverse autoregressive maps
(Kingma et al. 2016, eq. 10 to 14), by two optimisers and with the masked networks of the
publication and of the suite. flows.csv has what each reaches on the validation part, every 10,000
steps; rows that are there are kept.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F

from benchmarks.reproduction.optimisers import (
    LATENT,
    OPTIMISERS,
    Model,
    graded,
    images,
    minibatches,
    network,
)

EVERY, NUM_STEPS = 10_000, 60_000
NUM_MAPS = 2


class Masked(nn.Linear):
    """An affine map of which an output sees the inputs of lower degrees, or of its own too."""

    def __init__(self, inputs: Tensor, outputs: Tensor, strictly: bool = False) -> None:
        super().__init__(len(inputs), len(outputs))
        sees = inputs < outputs[:, None] if strictly else inputs <= outputs[:, None]
        self.register_buffer("sees", sees.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.get_buffer("sees") * self.weight, self.bias)


class Conditioner(nn.Module):
    """Gate logits and means of each dimension, from those before it and from a context (MADE)."""

    def __init__(self, hidden: list[Tensor], context: nn.Module, opening: float) -> None:
        super().__init__()
        inputs = torch.arange(1, LATENT + 1)
        layers = [Masked(*ends) for ends in pairwise([inputs, *hidden])]
        layers.append(Masked(hidden[-1], inputs.repeat(2), strictly=True))
        self.layers, self.context, self.opening = nn.ModuleList(layers), context, opening

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Both [K, B, D], from codes [K, B, D] and contexts [B, C]."""
        h = self.layers[0](z) + self.context(context)
        for layer in self.layers[1:]:
            h = layer(torch.relu(h))
        gate_logit, mean = h.chunk(2, -1)
        return gate_logit + self.opening, mean


@dataclass(frozen=True)
class Networks:
    """How wide the context is that the encoder gives, and what makes a map's network."""

    context: int
    conditioner: Callable[[], Conditioner]


def published() -> Conditioner:
    """Two hidden layers of 256 units, and a map of the context for each flow."""
    degrees = torch.linspace(1, LATENT - 1, 256).ceil()
    return Conditioner([degrees, degrees], nn.Linear(128, 256, bias=False), opening=2.0)


def as_here() -> Conditioner:
    """One hidden layer of 512 units, to which the context is added: that of the posterior `iaf`."""
    return Conditioner([torch.arange(512) % LATENT], nn.Identity(), opening=1.5)


NETWORKS: Mapping[str, Networks] = {
    "published": Networks(128, published),
    "as here": Networks(512, as_here),
}
TRIED = (
    ("RMSprop, centred", "published"),
    ("Adam, beta1 = 0, beta2 = 0.99", "published"),
    ("RMSprop, centred", "as here"),
)
COLUMNS = ("optimiser", "networks", "seed", "steps", "valid_elbo", "valid_log_px")


class FlowModel(Model):
    """The published VAE with an inverse autoregressive posterior; `networks`: a key of NETWORKS."""

    def __init__(self, num_pixels: int, networks: str) -> None:
        super().__init__(num_pixels)
        chosen = NETWORKS[networks]
        self.encoder = network(num_pixels, 2 * LATENT + chosen.context)
        self.conditioners = nn.ModuleList(chosen.conditioner() for _ in range(NUM_MAPS))

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        loc, scale, context = self.encoder(x).tensor_split((LATENT, 2 * LATENT), -1)
        q = Normal(loc, self.scale(scale))
        z = q.rsample((num_samples,))
        image, log_det = self.flowed(z, context)
        return self.log_joint(x, image) - q.log_prob(z).sum(-1) + log_det

    def flowed(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The images of codes [K, B, D] under all maps, and log |det J| [K, B]."""
        log_det = z.new_zeros(z.shape[:-1])
        for conditioner in self.conditioners:
            gate_logit, mean = conditioner(z, context)
            gate = torch.sigmoid(gate_logit)
            z = (gate * z + (1 - gate) * mean).flip(-1)
            log_det = log_det + F.logsigmoid(gate_logit).sum(-1)
        return z, log_det


def course(
    model: Model, optimiser: str, x: Tensor, validated: Tensor, steps: int
) -> Iterator[tuple[int, float, float]]:
    """(steps so far, ELBO, log p(x) of the validated images), every so many steps."""
    descent = OPTIMISERS[optimiser](model.parameters())
    for step, rows in zip(range(1, steps + 1), minibatches(len(x)), strict=False):
        descent.zero_grad()
        (-model.log_weights(x[rows], 1)).sum().backward()
        descent.step()
        if step % EVERY == 0:
            yield step, *graded(model, validated)


def main(out: Path, only: str) -> None:
    torch.set_num_threads(1)
    x, validated = images()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "flows.csv"
    kept = list(csv.reader(path.open())) if path.is_file() else [list(COLUMNS)]
    there = {tuple(row[:2]) for row in kept}
    for optimiser, networks in TRIED:
        if (optimiser, networks) not in there and only in f"{optimiser}; {networks}":
            torch.manual_seed(0)
            model = FlowModel(x.shape[-1], networks)
            for figures in course(model, optimiser, x, validated, NUM_STEPS):
                kept.append([optimiser, networks, "0", *map(repr, figures)])
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/reproduction"))
    parser.add_argument("--only", default="", help="Words of the rows that are made.")
    arguments = parser.parse_args()
    main(arguments.out, arguments.only)
