"""The loop of the VAE in pytorch/examples (vae/main.py), written anew for this network."""

from __future__ import annotations

from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.torch_network import Decoder, Encoder, exported, loaded
from benchmarks.peers.work import LEARNING_RATE, Prepared, Work


def examples_loop(work: Work) -> Prepared:
    """DataLoader, zero_grad, forward, BCE + KL, backward, Adam and loss.item(), each step.

    The images are tensors from the start, which spares the conversion that the example has.
    """
    torch.manual_seed(work.seed)
    encoder, decoder = Encoder(work.size), Decoder(work.size)
    network = nn.ModuleList([encoder, decoder])
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    batches = loaded(work)
    network.train()

    def train(num_steps: int) -> None:
        total = 0.0
        for x in islice(batches, num_steps):
            optimiser.zero_grad()
            mu, log_var = encoder(x)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var)
            loss = _loss(torch.sigmoid(decoder(z)), x, mu, log_var)
            loss.backward()
            total += loss.item()
            optimiser.step()

    return Prepared(train, lambda: exported(encoder, decoder))


def _loss(mean: Tensor, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """-ELBO in nats, the mean over the batch."""
    distortion = F.binary_cross_entropy(mean, x, reduction="sum")
    rate = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return (distortion + rate) / len(x)
