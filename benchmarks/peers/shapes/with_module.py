"""The modules of a model of one run in plain PyTorch: a loop as a user writes it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.shapes.with_torch import elbo, minibatches
from benchmarks.peers.with_vaebench import config_of
from benchmarks.peers.work import LEARNING_RATE, Check, Prepared, Work
from vaebench.config.build import family_of
from vaebench.models.networks import MODELS


def loop(work: Work) -> Prepared:
    """One run: the same modules, minibatch by index, forward, backward, fused Adam, each step."""
    torch.manual_seed(work.seed)
    network, data = Modules(work), torch.from_numpy(work.images("x_train"))
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    batches = minibatches(data, work.size.batch)

    def train(num_steps: int) -> None:
        for _ in range(num_steps):
            x = next(batches)
            optimiser.zero_grad()
            loss, _ = elbo(network, x, torch.randn(1, len(x), work.size.latent))
            loss.backward()
            optimiser.step()

    def check() -> Check:
        fresh = Modules(work)
        x, eps = map(torch.from_numpy, work.check_inputs())
        loss, _ = elbo(fresh, x, eps)
        loss.backward()
        norms = (float(p.grad.norm()) for p in fresh.parameters() if p.grad is not None)
        return loss.item(), math.hypot(*norms)

    return Prepared(train, dict, check)


class Modules(nn.Module):
    """Encoder and decoder of the model of a size, with the weights that all start from."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        config = config_of(work, work.seed)
        self.sizes = family_of(config).sizes(work.size.image_shape)
        entry = MODELS[config.model.name]
        self.encoder, self.decoder = entry.networks(self.sizes, **config.model.hyper)
        start = {name: torch.from_numpy(values[0].copy()) for name, values in work.start().items()}
        self.load_state_dict({name.replace(".network.", "."): t for name, t in start.items()})

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, P] -> mu, log_var [B, D]."""
        mu, log_var = self.encoder(x.view(-1, *self.sizes.shape)).chunk(2, -1)
        return mu, log_var

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor:
        """[B, P], [1, B, D] -> [1, B]."""
        logits = self.decoder(z[0]).flatten(1)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)[None]
