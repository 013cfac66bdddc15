"""Encoders and decoders of S runs side by side: batched layers with a leading S axis.

Shapes: x [S, B, P], mu and log_var [S, B, D], z [K, S, B, D], decoder output [K, S, B, P].
"""

from __future__ import annotations

import copy
import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from vaebench.hyper import Scalar
from vaebench.likelihoods import Likelihood
from vaebench.noise import Noise, uniforms
from vaebench.registry import Registry

Layers = Callable[[int, int], "StackedLinear"]
"""Makes the next layer of a model: (inputs, outputs) -> layer."""


class StackedLinear(nn.Module):
    """S independent affine maps: [S, N, in] -> [S, N, out].

    Weights and biases start uniform in +-1/sqrt(in), as torch.nn.Linear's do.
    """

    def __init__(self, num_inputs: int, num_outputs: int, noise: Noise) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(num_inputs)
        values = scale * (2.0 * uniforms(noise, num_inputs + 1, num_outputs) - 1.0)
        self.weight = nn.Parameter(values[:, :-1].contiguous())
        self.bias = nn.Parameter(values[:, -1:].contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class GaussianEncoder(nn.Module):
    """q(z|x) = N(mu(x), diag(exp(log_var(x)))), both from one network with 2D outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = self.network(x).chunk(2, dim=-1)
        return mu, log_var


class LinearEncoder(nn.Module):
    """q(z|x) = N(Vx + c, diag(exp(log_var))) with one log_var for all x (Lucas et al. 2019)."""

    def __init__(self, mu: StackedLinear) -> None:
        super().__init__()
        self.mu = mu
        self.log_var = nn.Parameter(torch.zeros_like(mu.bias))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu = self.mu(x)
        return mu, self.log_var.expand_as(mu)


class VAE(nn.Module):
    """Encoder, decoder and likelihood of S runs. `hyper` are the likelihood's given parameters."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        hyper: Mapping[str, Scalar],
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.likelihood, self.latent_dim = likelihood, latent_dim
        self.num_runs = next(encoder.parameters()).shape[0]
        self.learned = nn.ParameterDict(
            {name: torch.full((self.num_runs, 1), v) for name, v in likelihood.learned.items()}
        )
        for name, value in hyper.items():
            stacked = torch.as_tensor(value, dtype=torch.float64).expand(self.num_runs, 1)
            self.register_buffer(f"hyper_{name}", stacked.clone())
        self._hyper_names = tuple(hyper)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu, log_var of q(z|x): [S, B, P] -> [S, B, D] twice."""
        mu, log_var = self.encoder(x)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Each sample through its own run's decoder: [K, S, B, D] -> [K, S, B, P]."""
        num_samples, _, num_rows, _ = z.shape
        out = self.decoder(z.transpose(0, 1).flatten(1, 2))
        return out.unflatten(1, (num_samples, num_rows)).transpose(0, 1)

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats: [S, B, P], [K, S, B, D] -> [K, S, B]."""
        hyper = {name: getattr(self, f"hyper_{name}") for name in self._hyper_names}
        return self.likelihood.log_prob(x, self.decode(z), **hyper, **self.learned)

    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z]: [K, S, B, D] -> [K, S, B, P]."""
        return self.likelihood.mean(self.decode(z))


Networks = tuple[nn.Module, nn.Module]
MODELS: Registry[Callable[[int, int, Sequence[int], Layers], Networks]] = Registry("model")
"""(pixels P, latent dimensions D, hidden widths, layers) -> (encoder, decoder)."""


def mlp(pixels: int, latent_dim: int, widths: Sequence[int], layers: Layers) -> Networks:
    """Hidden layers of the given widths with ReLU, and the same in reverse for the decoder."""
    encoder = _chain([pixels, *widths, 2 * latent_dim], layers)
    decoder = _chain([latent_dim, *reversed(widths), pixels], layers)
    return GaussianEncoder(encoder), decoder


def linear(pixels: int, latent_dim: int, widths: Sequence[int], layers: Layers) -> Networks:
    """The linear VAE, whose optimum is probabilistic PCA (Lucas et al. 2019)."""
    assert not widths, "the configuration allows no hidden widths here"
    return LinearEncoder(layers(pixels, latent_dim)), layers(latent_dim, pixels)


MODELS.add("mlp", mlp)
MODELS.add("linear", linear)


def build(
    name: str,
    *,
    pixels: int,
    latent_dim: int,
    widths: Sequence[int],
    likelihood: Likelihood,
    hyper: Mapping[str, Scalar],
    noise: Noise,
) -> VAE:
    """A new VAE of S runs, each initialised from its own key of `noise`."""
    counter = itertools.count()

    def layers(num_inputs: int, num_outputs: int) -> StackedLinear:
        return StackedLinear(num_inputs, num_outputs, noise.at(step=next(counter)))

    encoder, decoder = MODELS[name](pixels, latent_dim, widths, layers)
    return VAE(encoder, decoder, likelihood, hyper, latent_dim)


def select(model: VAE, runs: Sequence[int]) -> VAE:
    """A copy that holds only the given runs of the stack, in that order."""
    chosen = copy.deepcopy(model)
    chosen.num_runs = len(runs)
    for tensor in itertools.chain(chosen.parameters(), chosen.buffers()):
        tensor.data = tensor.data[list(runs)]
    return chosen


def weights(model: VAE) -> bytes:
    """The model's parameters as the bytes of a file that torch.load reads."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.getvalue()


def _chain(sizes: Sequence[int], layers: Layers) -> nn.Sequential:
    """Affine maps through the sizes, a ReLU between each two."""

    def modules() -> Iterator[nn.Module]:
        for i, (num_inputs, num_outputs) in enumerate(itertools.pairwise(sizes)):
            if i:
                yield nn.ReLU()
            yield layers(num_inputs, num_outputs)

    return nn.Sequential(*modules())
