"""The default study's training by the loop of pytorch/examples, run after run; run as a program.

Each step is that of `with_torch.examples_loop`: DataLoader, zero_grad, forward, loss, backward,
Adam and loss.item(). Ten of the study's runs are timed, spread over its variants.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.studies.variants import (
    FIRST_LOG_SIGMA,
    LIKELIHOODS,
    NUM_SEEDS,
    NUM_STEPS,
    SIZE,
    VARIANTS,
    Variant,
    digits,
)
from benchmarks.peers.torch_network import Decoder, Encoder
from benchmarks.peers.work import LEARNING_RATE

LOG_2PI = math.log(2.0 * math.pi)
NUM_TIMED = 10
Run = tuple[str, Variant, int]
"""Likelihood, variant, seed."""


class Network(nn.Module):
    """Encoder and decoder, with the one sigma of a Gaussian likelihood."""

    def __init__(self, likelihood: str) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(SIZE), Decoder(SIZE)
        is_gaussian = likelihood != "bernoulli"
        self.log_sigma = nn.Parameter(torch.tensor([FIRST_LOG_SIGMA])) if is_gaussian else None

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor:
        """[B, P], [K, B, D] -> [K, B]."""
        out = self.decoder(z)
        if self.log_sigma is not None:
            return gaussian_log_prob(x, out, 2.0 * self.log_sigma)
        return -F.binary_cross_entropy_with_logits(out, x.expand_as(out), reduction="none").sum(-1)


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """[..., D] -> [...]."""
    return -0.5 * ((x - mu).square() * torch.exp(-log_var) + log_var + LOG_2PI).sum(-1)


def loss(network: Network, x: Tensor, eps: Tensor, weight: float, variant: Variant) -> Tensor:
    """The loss in nats, the mean over the batch: x [B, P], eps [K, B, D]."""
    mu, log_var = network.encoder(x)
    z = mu + torch.exp(0.5 * log_var) * eps
    log_px_z = network.log_px_z(x, z)
    if variant.bound == "closed_form":
        rate = 0.5 * (mu.square() + log_var.exp() - log_var - 1.0).sum(-1)
        return (weight * rate - log_px_z.mean(0)).mean()
    prior = gaussian_log_prob(z, torch.zeros(()), torch.zeros(()))
    log_w = log_px_z + weight * (prior - gaussian_log_prob(z, mu, log_var))
    if variant.bound == "sampled":
        return -log_w.mean()
    return -(torch.logsumexp(log_w, 0) - math.log(len(log_w))).mean()


def train(run: Run, num_steps: int) -> float:
    """Train one run; its last loss."""
    likelihood, variant, seed = run
    torch.manual_seed(seed)
    network = Network(likelihood)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    last = math.nan
    for x, weight in zip(_loaded(likelihood), variant.weights(num_steps).tolist(), strict=False):
        optimiser.zero_grad()
        eps = torch.randn(variant.num_samples, len(x), SIZE.latent)
        value = loss(network, x, eps, weight, variant)
        value.backward()
        last = value.item()
        optimiser.step()
    return last


def timed_runs(num_seeds: int) -> list[Run]:
    """Ten of the study's runs, spread evenly over likelihoods, variants and seeds."""
    everything = list(itertools.product(LIKELIHOODS, VARIANTS, range(num_seeds)))
    return everything[:: max(1, len(everything) // NUM_TIMED)][:NUM_TIMED]


def _loaded(likelihood: str) -> Iterator[Tensor]:
    """Minibatches [B, P] without end; binarised as they are loaded."""
    x = torch.from_numpy(digits())
    labels = torch.zeros(len(x), dtype=torch.int64)
    data = TensorDataset(x, labels)
    loader = DataLoader(data, batch_size=SIZE.batch, shuffle=True, drop_last=True)
    while True:
        for images, _ in loader:
            yield torch.bernoulli(images) if likelihood == "bernoulli" else images


def main() -> None:
    """Train ten runs, and print their seconds and last losses as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    options = parser.parse_args()
    runs, start = timed_runs(options.seeds), time.perf_counter()
    losses = [train(run, options.steps) for run in runs]
    seconds = time.perf_counter() - start
    of_likelihood = {
        name: statistics.mean(
            loss for run, loss in zip(runs, losses, strict=True) if run[0] == name
        )
        for name in LIKELIHOODS
    }
    print(json.dumps({"seconds": seconds, "num_runs": len(runs), "loss_nats": of_likelihood}))


if __name__ == "__main__":
    main()
