"""Other shapes in plain PyTorch: a loop over modules of torch.nn, fused Adam, data in a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.peers.shapes.sizes import CHANNELS, GAMMA
from benchmarks.peers.studies.with_torch import gaussian_log_prob
from benchmarks.peers.work import LEARNING_RATE, Check, Prepared, Size, Work

LEAK, CRITIC_WIDTH = 0.2, 128


def loop(work: Work) -> Prepared:
    """One run: minibatch by index, zero_grad, forward, loss, backward, fused Adam, each step."""
    torch.manual_seed(work.seed)
    size, data = work.size, torch.from_numpy(work.images("x_train"))
    network = _network(work)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    batches = minibatches(data, size.batch)

    def train(num_steps: int) -> None:
        for _ in range(num_steps):
            x = next(batches)
            optimiser.zero_grad()
            eps = torch.randn(size.num_samples, len(x), size.latent)
            loss, z = LOSSES[size.name](network, x, eps)
            total = loss if network.auxiliary is None else loss + _critic_loss(network, z)
            total.backward()
            optimiser.step()

    def check() -> Check:
        fresh = _network(work)
        x, eps = map(torch.from_numpy, work.check_inputs())
        loss, _ = LOSSES[size.name](fresh, x, eps)
        loss.backward()
        named = fresh.named_parameters()
        main = [p.grad for name, p in named if not name.startswith("auxiliary.")]
        return loss.item(), math.hypot(*(float(g.norm()) for g in main if g is not None))

    return Prepared(train, dict, check)


class Model(Protocol):
    """An encoder and a decoder."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor: ...


class ConvEncoder(nn.Module):
    """Strided convolutions with ReLU, then an affine map."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        first, second = CHANNELS
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, first, 4, 2, 1), nn.Conv2d(first, second, 4, 2, 1)]
        )
        self.affine = nn.Linear(second * size.pixels // 16, 2 * size.latent)

    def forward(self, x: Tensor) -> Tensor:
        side = math.isqrt(x.shape[-1])
        features = x.view(-1, 1, side, side)
        for convolution in self.convolutions:
            features = torch.relu(convolution(features))
        out: Tensor = self.affine(features.flatten(1))
        return out


class ConvDecoder(nn.Module):
    """An affine map, then transposed convolutions, each of the ReLU."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        first, second = CHANNELS
        self.affine = nn.Linear(size.latent, second * size.pixels // 16)
        self.convolutions = nn.ModuleList(
            [nn.ConvTranspose2d(second, first, 4, 2, 1), nn.ConvTranspose2d(first, 1, 4, 2, 1)]
        )

    def forward(self, z: Tensor) -> Tensor:
        features: Tensor = self.affine(z.flatten(0, 1))
        side = math.isqrt(features.shape[-1] // CHANNELS[1])
        features = features.view(-1, CHANNELS[1], side, side)
        for convolution in self.convolutions:
            features = convolution(torch.relu(features))
        return features.view(*z.shape[:2], -1)


class Network(nn.Module):
    """Encoder and decoder, and what an objective trains beside them.

    Weights have the names that they have in vaebench.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        is_conv = size.name == "conv"
        p, h, d = size.pixels, size.hidden, size.latent
        self.encoder = ConvEncoder(size) if is_conv else _mlp(p, h, 2 * d)
        self.decoder = ConvDecoder(size) if is_conv else _mlp(d, h, p)
        self.auxiliary = _critic(d) if size.name == "factor_vae" else None
        self.learned_prior = nn.ParameterDict()
        self.in_bfloat16 = size.name == "bfloat16"

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, P] -> mu, log_var [B, D]."""
        mu, log_var = self._outputs(self.encoder, x).chunk(2, -1)
        return mu, log_var

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor:
        """[B, P], [K, B, D] -> [K, B]."""
        logits = self._outputs(self.decoder, z)
        x = x.expand_as(logits)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)

    def _outputs(self, part: nn.Module, values: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bfloat16):
            out: Tensor = part(values)
        return out.float()


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _critic(latent: int) -> nn.Sequential:
    hidden: list[nn.Module] = []
    for inputs in (latent, CRITIC_WIDTH, CRITIC_WIDTH):
        hidden += [nn.Linear(inputs, CRITIC_WIDTH), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*hidden, nn.Linear(CRITIC_WIDTH, 1))


def _network(work: Work) -> Network:
    """The network with the weights of the first run that all start from."""
    network = Network(work.size)
    start = {name: _as_torch(name, values[0]) for name, values in work.start().items()}
    for name, values in start.items():
        if name.startswith("learned_prior."):
            network.learned_prior[name.removeprefix("learned_prior.")] = nn.Parameter(values)
    network.load_state_dict(start)
    return network


def _as_torch(name: str, values: NDArray[np.float32]) -> Tensor:
    """Affine maps are [out, in] and their biases [out] here."""
    tensor = torch.from_numpy(values.copy())
    if name.endswith("bias"):
        return tensor.flatten()
    return tensor.T.contiguous() if name.endswith("weight") and tensor.dim() == 2 else tensor


def minibatches(data: Tensor, batch: int) -> Iterator[Tensor]:
    """[B, P] without end."""
    while True:
        for rows in torch.randperm(len(data)).split(batch):
            yield data[rows]


Loss = Callable[[Network, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(network, x [B, P], eps [K, B, D]) -> the loss in nats, z [K, B, D]."""


def _drawn(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.exp(0.5 * log_var) * eps


def _kl(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu.square() + log_var.exp() - log_var - 1.0).sum(-1)


def _log_w(network: Network, x: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    zero = torch.zeros(())
    log_pz = gaussian_log_prob(z, zero, zero)
    return network.log_px_z(x, z) + log_pz - gaussian_log_prob(z, mu, log_var)


def _bound(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def elbo(network: Model, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """-ELBO in nats, the mean over x [B, P], and z [K, B, D]; eps [K, B, D]."""
    mu, log_var = network.encode(x)
    z = _drawn(mu, log_var, eps)
    return (_kl(mu, log_var) - network.log_px_z(x, z)).mean(), z


def _iwae(network: Network, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_var = network.encode(x)
    z = _drawn(mu, log_var, eps)
    return -_bound(_log_w(network, x, z, mu, log_var)).mean(), z


def _dreg(network: Network, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Tucker et al. 2019, as in their appendix: the gradient of z is scaled by its weight."""
    mu, log_var = network.encode(x)
    z = _drawn(mu, log_var, eps)
    log_w = _log_w(network, x, z, mu.detach(), log_var.detach())
    share = torch.softmax(log_w.detach(), 0)
    z.register_hook(lambda gradient: share[..., None] * gradient)
    estimate = (share * log_w).sum(0)
    return -(estimate + (_bound(log_w) - estimate).detach()).mean(), z


def _mixture(network: Network, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """-ELBO with the KL sampled, under a prior that is a mixture of Gaussians."""
    mu, log_var = network.encode(x)
    z = _drawn(mu, log_var, eps)
    prior = network.learned_prior
    parts = gaussian_log_prob(z[..., None, :], prior["mu"], prior["log_var"])
    log_pz = torch.logsumexp(parts + torch.log_softmax(prior["scores"], -1), -1)
    log_px_z = network.log_px_z(x, z)
    return -(log_px_z + log_pz - gaussian_log_prob(z, mu, log_var)).mean(), z


def _factor_vae(network: Network, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """-ELBO plus gamma times the total correlation, by the critic (Kim & Mnih 2018)."""
    assert network.auxiliary is not None, "the shape has a critic"
    mu, log_var = network.encode(x)
    z = _drawn(mu, log_var, eps)
    stopped = {name: p.detach() for name, p in network.auxiliary.named_parameters()}
    correlation = torch.func.functional_call(network.auxiliary, stopped, (z,))[..., 0]
    return (_kl(mu, log_var) - network.log_px_z(x, z) + GAMMA * correlation).mean(), z


def _critic_loss(network: Network, z: Tensor) -> Tensor:
    """Cross-entropy of telling codes from codes with their dimensions shuffled."""
    assert network.auxiliary is not None, "the shape has a critic"
    codes, others = z[0].detach().chunk(2)
    shuffled = others.gather(0, torch.rand_like(others).argsort(0))
    real, fake = network.auxiliary(codes), network.auxiliary(shuffled)
    return 0.5 * (F.softplus(-real) + F.softplus(fake)).mean()


LOSSES: Mapping[str, Loss] = {
    "conv": elbo,
    "iwae": _iwae,
    "dreg": _dreg,
    "factor_vae": _factor_vae,
    "learned_prior": _mixture,
    "bfloat16": elbo,
}
"""By the name of the shape."""
