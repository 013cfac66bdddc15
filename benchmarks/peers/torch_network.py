"""The network as torch modules, for the peers that are written in torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.work import Size, Weights, Work


class Encoder(nn.Module):
    """x [B, P] -> mu, log_var [B, D]."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.hidden = nn.Linear(size.pixels, size.hidden)
        self.mu = nn.Linear(size.hidden, size.latent)
        self.log_var = nn.Linear(size.hidden, size.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(self.hidden(x))
        return self.mu(hidden), self.log_var(hidden)


class Decoder(nn.Module):
    """z [B, D] -> logits [B, P]."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.hidden = nn.Linear(size.latent, size.hidden)
        self.logits = nn.Linear(size.hidden, size.pixels)

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = self.logits(torch.relu(self.hidden(z)))
        return logits


def loaded(work: Work) -> Iterator[Tensor]:
    """Minibatches [B, P] without end, from a DataLoader of (image, label), as torch programs do."""
    x = torch.from_numpy(work.images("x_train"))
    labels = torch.zeros(len(x), dtype=torch.int64)
    loader = DataLoader(TensorDataset(x, labels), batch_size=work.size.batch, shuffle=True)
    while True:
        for images, _ in loader:
            yield images


def exported(encoder: Encoder, decoder: Decoder) -> Weights:
    """The weights and biases of one run: [1, in, out] and [1, out]."""

    def joined(*layers: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
        weight = torch.cat([layer.weight.detach() for layer in layers]).T
        bias = torch.cat([layer.bias.detach() for layer in layers])
        return weight[None].numpy(), bias[None].numpy()

    return {
        "encode": joined(encoder.hidden),
        "posterior": joined(encoder.mu, encoder.log_var),
        "decode": joined(decoder.hidden),
        "logits": joined(decoder.logits),
    }
