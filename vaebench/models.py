"""Encoders and decoders of S runs side by side: batched layers with a leading S axis.

Shapes: x [S, B, P], z [K, S, B, D], decoder output [K, S, B, n P], n numbers for each pixel.
"""

from __future__ import annotations

import copy
import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.hyper import Scalar
from vaebench.likelihoods import Likelihood
from vaebench.noise import Noise, uniforms
from vaebench.posteriors import POSTERIORS, Distribution, Latent, Posterior
from vaebench.posteriors.entry import Layers
from vaebench.priors import PRIORS, BoundPrior, Prior, PriorShape
from vaebench.registry import Registry

Networks = tuple[nn.Module, nn.Module]
"""Encoder and decoder."""


class Sizes(NamedTuple):
    """Widths that a model's networks begin and end with."""

    pixels: int
    posterior: int
    """What the encoder gives for each example."""
    code: int
    out: int
    """What the decoder gives for each code."""


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


class LinearEncoder(nn.Module):
    """D numbers linear in x, the means of a posterior; the rest [S, 1, R - D] the same for all x.

    With 2D numbers, N(Vx + c, diag(exp(log_var))), log_var one for all x (Lucas et al. 2019).
    """

    def __init__(self, mu: StackedLinear, rest: Tensor) -> None:
        super().__init__()
        self.mu = mu
        self.rest = nn.Parameter(rest)

    def forward(self, x: Tensor) -> Tensor:
        mu = self.mu(x)
        return torch.cat([mu, self.rest.expand(-1, mu.shape[1], -1)], -1)


@dataclass(frozen=True)
class Family:
    """The distributions that a model is made of, with the sizes of its code."""

    likelihood: Likelihood
    posterior: Posterior = POSTERIORS["diagonal_gaussian"]
    prior: Prior = PRIORS["standard_normal"]
    latent: Latent = field(default_factory=lambda: Latent(8))
    num_components: int = 10
    """Of a mixture prior."""
    auxiliary: Callable[[int, Layers], nn.Module] | None = None
    """(width of a code, layers) -> a network that the objective trains beside the model."""


class VAE(nn.Module):
    """Encoder, decoder and distributions of S runs.

    `likelihood_hyper` and `prior_hyper` are the given scalars of likelihood and prior.
    """

    def __init__(
        self,
        networks: Networks,
        family: Family,
        layers: Layers,
        learned_prior: Mapping[str, Tensor],
        likelihood_hyper: Mapping[str, Scalar],
        prior_hyper: Mapping[str, Scalar],
        log_volume: float,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = networks
        self.family, self.log_volume = family, log_volume
        self.num_runs = next(self.encoder.parameters()).shape[0]
        likelihood, latent = family.likelihood, family.latent
        width = family.posterior.code_width(latent)
        make_network, make_auxiliary = family.posterior.network, family.auxiliary
        self.network = make_network(latent, layers) if make_network else None
        self.auxiliary = make_auxiliary(width, layers) if make_auxiliary else None
        self.learned = nn.ParameterDict(
            {name: torch.full((self.num_runs, 1), v) for name, v in likelihood.learned.items()}
        )
        self.learned_prior = nn.ParameterDict(dict(learned_prior))
        self.likelihood_hyper = Scalars(likelihood_hyper, self.num_runs)
        self.prior_hyper = Scalars(prior_hyper, self.num_runs)
        self.fitted = Scalars(dict.fromkeys(likelihood.fitted, 0.0), self.num_runs)

    @property
    def likelihood(self) -> Likelihood:
        """p(x|z)."""
        return self.family.likelihood

    def main_parameters(self) -> Iterator[nn.Parameter]:
        """All but those of the auxiliary network, which has a loss of its own."""
        named = self.named_parameters()
        return (p for name, p in named if not name.startswith("auxiliary."))

    def posterior(self, x: Tensor, **hyper: Scalar) -> Distribution:
        """q(z|x): [S, B, P] -> a distribution over codes [S, B, D]."""
        make = self.family.posterior.distribution
        return make(self.encoder(x), self.family.latent, self.network, **hyper)

    def prior(self) -> BoundPrior:
        """p(z) with its parameters as they are now."""
        entry = self.family.prior
        parameters = entry.prepare(self.posterior, dict(self.learned_prior.items()))
        place = next(self.encoder.parameters())
        return BoundPrior(entry, {**parameters, **self.prior_hyper.values(place)})

    def decode(self, z: Tensor) -> Tensor:
        """Each sample through its own run's decoder: [K, S, B, D] -> [K, S, B, n P]."""
        num_samples, _, num_rows, _ = z.shape
        out = self.decoder(z.transpose(0, 1).flatten(1, 2))
        return out.unflatten(1, (num_samples, num_rows)).transpose(0, 1)

    def log_px_z(self, x: Tensor, z: Tensor, *, training: bool = False) -> Tensor:
        """log p(x|z) in nats: [S, B, P], [K, S, B, D] -> [K, S, B].

        `training`: what the likelihood fits in closed form is fitted to x; else it is as it was.
        Of dequantised images, the bound on the log-probability of the stored ones.
        """
        out = self.decode(z)
        fitted = self._fit(x, out) if training else self.fitted.values(out)
        scalars = {**self.likelihood_hyper.values(out), **self.learned, **fitted}
        return self.likelihood.log_prob(x, out, **scalars) - self.log_volume

    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z]: [K, S, B, D] -> [K, S, B, P]."""
        return self.likelihood.mean(self.decode(z))

    def _fit(self, x: Tensor, out: Tensor) -> dict[str, Tensor]:
        """The closed-form parameters of this batch; running values are kept for evaluation."""
        found = {name: fit(x, out) for name, fit in self.likelihood.fitted.items()}
        for name, value in found.items():
            self.fitted.follow(name, value.detach())
        return found


class Scalars(nn.Module):
    """Named scalars of S runs that no gradient trains: [S, 1] each."""

    FOLLOWS = 0.1
    """Share of a new value in a running one."""

    def __init__(self, values: Mapping[str, Scalar], num_runs: int) -> None:
        super().__init__()
        for name, value in values.items():
            stacked = torch.as_tensor(value, dtype=torch.float64).expand(num_runs, 1)
            self.register_buffer(f"of_{name}", stacked.clone())
        self._names = tuple(values)

    def values(self, like: Tensor) -> dict[str, Tensor]:
        """By name: [S, 1] each, of that tensor's precision."""
        return {name: self.get_buffer(f"of_{name}").to(like.dtype) for name in self._names}

    def follow(self, name: str, value: Tensor) -> None:
        """Move a running value towards a new one [S, 1]; the first replaces it where it is 0."""
        running = self.get_buffer(f"of_{name}")
        moved = running.lerp(value.to(running), self.FOLLOWS)
        running.copy_(torch.where(running == 0, value, moved))


MODELS: Registry[Callable[[Sizes, Sequence[int], Layers], Networks]] = Registry("model")
"""(sizes, hidden widths, layers) -> (encoder, decoder)."""


def mlp(sizes: Sizes, widths: Sequence[int], layers: Layers) -> Networks:
    """Hidden layers of the given widths with ReLU, and the same in reverse for the decoder."""
    encoder = _chain([sizes.pixels, *widths, sizes.posterior], layers)
    return encoder, _chain([sizes.code, *reversed(widths), sizes.out], layers)


def linear(sizes: Sizes, widths: Sequence[int], layers: Layers) -> Networks:
    """The linear VAE, whose optimum is probabilistic PCA (Lucas et al. 2019).

    log_var starts from 0. What a posterior has beyond it starts as biases do: a planar map of zeros
    has no gradient to leave them by.
    """
    assert not widths, "the configuration allows no hidden widths here"
    mu = layers(sizes.pixels, sizes.code)
    assert isinstance(mu, StackedLinear)
    rest = torch.zeros_like(mu.bias)[..., : sizes.posterior - sizes.code]
    beyond = sizes.posterior - 2 * sizes.code
    if beyond > 0:
        others = layers(sizes.pixels, beyond)
        assert isinstance(others, StackedLinear)
        rest = torch.cat([rest, others.bias.detach()], -1)
    return LinearEncoder(mu, rest), layers(sizes.code, sizes.out)


MODELS.add("mlp", mlp)
MODELS.add("linear", linear)


def build(
    name: str,
    family: Family,
    *,
    pixels: int,
    widths: Sequence[int],
    noise: Noise,
    likelihood_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    prior_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    log_volume: float = 0.0,
) -> VAE:
    """A new VAE of S runs, each initialised from its own key of `noise`.

    `log_volume` is taken off log p(x|z): P log 256 for dequantised images.
    """
    counter = itertools.count()

    def layers(num_inputs: int, num_outputs: int) -> StackedLinear:
        return StackedLinear(num_inputs, num_outputs, noise.at(step=next(counter)))

    sizes = Sizes(
        pixels,
        family.posterior.num_inputs(family.latent),
        family.posterior.code_width(family.latent),
        pixels * family.likelihood.outputs_per_pixel,
    )
    networks = MODELS[name](sizes, widths, layers)
    shape = PriorShape(family.latent, pixels, family.num_components)
    learned_prior = {
        # A copy: normals are kept for the next who reads them, and training moves these in place.
        parameter: make(noise.at(step=PRIOR_STEP + i), shape).clone()
        for i, (parameter, make) in enumerate(family.prior.learned.items())
    }
    return VAE(networks, family, layers, learned_prior, likelihood_hyper, prior_hyper, log_volume)


PRIOR_STEP = 1 << 20
"""Where a prior's initial values are read: beyond those of any layer."""


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
