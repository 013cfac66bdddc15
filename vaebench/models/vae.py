"""The VAE of S runs: networks of the registry, with the distributions of its family.

Shapes: x [S, B, P], z [K, S, B, D], decoder output [K, S, B, n P], n numbers for each pixel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.core.hyper import Scalar
from vaebench.core.user_code import call
from vaebench.models.likelihoods import Likelihood
from vaebench.models.likelihoods.counts import library_size
from vaebench.models.networks.between import networks_between
from vaebench.models.networks.entry import MODELS
from vaebench.models.networks.layers import StackedLinear, widest
from vaebench.models.networks.side_by_side import of_samples, outputs
from vaebench.models.networks.sizes import ImageShape, Networks, Sizes
from vaebench.models.posteriors import POSTERIORS, Distribution, Latent, Posterior
from vaebench.models.posteriors.conditionals import Conditionals, conditionals
from vaebench.models.posteriors.entry import Direction, Layers
from vaebench.models.priors import PRIORS, BoundPrior, Prior, PriorShape
from vaebench.models.stack import select
from vaebench.ops.noise import Noise


@dataclass(frozen=True)
class Family:
    """The distributions that a model is made of, with the sizes of its code."""

    likelihood: Likelihood
    posterior: Posterior = POSTERIORS["diagonal_gaussian"]
    prior: Prior = PRIORS["standard_normal"]
    latent: Latent = field(default_factory=lambda: Latent(8))
    num_components: int = 10
    """The number of components of a mixture prior."""
    auxiliary: Callable[[int, Layers], nn.Module] | None = None
    """(width of a code, layers) -> a network that the objective trains beside the model."""

    @property
    def num_decoded(self) -> int:
        """Numbers of a code that the decoder sees, its first ones: of layers one, or all."""
        if self.prior.layered and not self.latent.layer_skip:
            return self.latent.layers[0]
        return self.posterior.code_width(self.latent)

    @property
    def directions(self) -> set[Direction]:
        """The networks between layers of latents that posterior and prior are made of."""
        of_prior: Direction | None = "down" if self.prior.layered else None
        return {way for way in (self.posterior.conditionals, of_prior) if way}

    def sizes(self, image_shape: ImageShape) -> Sizes:
        """What the networks between such images, its codes and its likelihood take and give."""
        num_inputs = self.posterior.num_inputs(self.latent)
        return Sizes(
            image_shape,
            num_inputs,
            self.num_decoded,
            self.likelihood.outputs_per_pixel,
            means=num_inputs // 2 if self.posterior.conditionals else None,
        )


class VAE(nn.Module):
    """Encoder, decoder and distributions of S runs.

    `likelihood_hyper` and `prior_hyper` are the configured scalars of likelihood and prior.
    `bfloat16`: in training, encoder and decoder multiply in it, and give their numbers in float32.
    `by_library`: p(x|z) takes the library size of x as known, see `counts.library_size`.
    `between`: networks up and down between neighbouring layers of latents, where there are any.
    """

    def __init__(
        self,
        networks: Networks,
        family: Family,
        between: Sequence[Networks],
        layers: Layers,
        learned_prior: Mapping[str, Tensor],
        likelihood_hyper: Mapping[str, Scalar],
        prior_hyper: Mapping[str, Scalar],
        log_volume: float,
        bfloat16: bool = False,
        by_library: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = networks
        self.family, self.log_volume, self.in_bfloat16 = family, log_volume, bfloat16
        self.by_library = by_library
        self.num_runs = next(self.encoder.parameters()).shape[0]
        likelihood, latent = family.likelihood, family.latent
        width = family.posterior.code_width(latent)
        make_network, make_auxiliary = family.posterior.network, family.auxiliary
        self.network = make_network(latent, layers) if make_network else None
        self.auxiliary = make_auxiliary(width, layers) if make_auxiliary else None
        up, down = ([pair[side] for pair in between] for side in range(2))
        self.up = nn.ModuleList(up if "up" in family.directions else ())
        self.down = nn.ModuleList(down if "down" in family.directions else ())
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

    @property
    def latent(self) -> Latent:
        """The sizes of a code."""
        return self.family.latent

    @property
    def like(self) -> Tensor:
        """A tensor of the model's precision, on its device."""
        return next(self.encoder.parameters())

    @property
    def numbers_per_row(self) -> int:
        """The most numbers that a layer gives for one example, or for one code."""
        return widest(self)

    def main_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters but the auxiliary network's, which has a loss of its own."""
        named = self.named_parameters()
        return (p for name, p in named if not name.startswith("auxiliary."))

    def posterior_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of q(z|x) beside the encoder's, without those that p(z) shares."""
        shared = self.family.prior.layered
        for part in (self.network, self.up, None if shared else self.down):
            yield from part.parameters() if part is not None else ()

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of p(z)."""
        yield from self.learned_prior.parameters()
        yield from self.down.parameters() if self.family.prior.layered else ()

    def posterior(self, x: Tensor, step: Noise | None = None, **hyper: Scalar) -> Distribution:
        """q(z|x): [S, B, P] -> a distribution over codes [S, B, D].

        `step`, here and below: the random numbers of a training step; None in evaluation.
        """
        return self.distribution(self.encoded(x, step), step, **hyper)

    def encoded(self, x: Tensor, step: Noise | None = None) -> Tensor:
        """The encoder's numbers, from which q(z|x) is made: [S, B, P] -> [S, B, R]."""
        return self._outputs(self.encoder, call(self.likelihood.encoder_input, x), step)

    def distribution(
        self, numbers: Tensor, step: Noise | None = None, **hyper: Scalar
    ) -> Distribution:
        """q(z|x) of the encoder's numbers [S, B, R]."""
        entry = self.family.posterior
        networks = {"up": self.up, "down": self.down}
        network = (
            self._conditionals(networks[entry.conditionals], step)
            if entry.conditionals
            else self.network
        )
        return entry.distribution(numbers, self.latent, network, **hyper)

    def _conditionals(self, networks: Iterable[nn.Module], step: Noise | None) -> Conditionals:
        return conditionals(tuple(networks), self.latent.layers, step)

    def _outputs(self, network: nn.Module, inputs: Tensor, step: Noise | None) -> Tensor:
        """The outputs of encoder or decoder, in the precision of their inputs."""
        if step is None or not self.in_bfloat16:
            return outputs(network, inputs, step)
        with torch.autocast(inputs.device.type, torch.bfloat16):
            out = outputs(network, inputs, step)
        return out.to(inputs.dtype)

    def prior(self, step: Noise | None = None) -> BoundPrior:
        """p(z) with its parameters as they are now."""
        entry = self.family.prior
        parameters = call(entry.prepare, self.posterior, dict(self.learned_prior.items()))
        layers = {"layers": self._conditionals(self.down, step)} if entry.layered else {}
        return BoundPrior(entry, {**parameters, **layers, **self.prior_hyper.values(self.like)})

    def decode(self, z: Tensor, step: Noise | None = None) -> Tensor:
        """Each sample through its own run's decoder: [K, S, B, D] -> [K, S, B, n P]."""
        if step is not None:  # its layers have rows for all samples of the examples before
            step = step.at(row=len(z) * step.first_row)
        seen = z if self.family.num_decoded == z.shape[-1] else z[..., : self.family.num_decoded]
        return of_samples(partial(self._outputs, self.decoder, step=step), seen)

    def log_px_z(self, x: Tensor, z: Tensor, *, step: Noise | None = None) -> Tensor:
        """log p(x|z) in nats: [S, B, P], [K, S, B, D] -> [K, S, B].

        In a step, what the likelihood fits in closed form is fitted to x; else it is as it was.
        For dequantised images it is the bound on the log-probability of the stored ones.
        """
        out = self._decoded_for(x, z, step)
        fitted = self.fitted.values(out) if step is None else self._fit(x, out)
        scalars = self._likelihood_scalars(out, fitted)
        return call(self.likelihood.log_prob, x, out, **scalars) - self.log_volume

    def _likelihood_scalars(self, out: Tensor, fitted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The parameters of p(x|z) beside the decoder's output: [S, 1] each."""
        return {**self.likelihood_hyper.values(out), **self.learned, **fitted}

    def _decoded_for(self, x: Tensor | None, z: Tensor, step: Noise | None = None) -> Tensor:
        """The outputs of the decoder, for the library sizes of x where p(x|z) takes them as known.

        Without x, for examples whose pixels have one count on average.
        """
        out = self.decode(z, step)
        if x is None or not self.by_library:
            return out
        return self.likelihood.exposed(out, library_size(x))

    def mean_image(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """E[x|z]: [K, S, B, D] -> [K, S, B, P]; x [S, B, P] gives library sizes that are known."""
        return call(self.likelihood.mean, self._decoded_for(x, z))

    def sample_image(self, z: Tensor, noise: Noise, x: Tensor | None = None) -> Tensor:
        """Images drawn from p(x|z), of the kind that log_px_z is given: [K, S, B, P].

        x [S, B, P] gives library sizes that are known. Raises InputError for a likelihood that
        declares no sampler.
        """
        out = self._decoded_for(x, z)
        scalars = self._likelihood_scalars(out, self.fitted.values(out))
        return self.likelihood.draw(out, noise, **scalars)

    def of_run(self, run: int) -> VAE:
        """A copy of one run alone, with its axis."""
        return select(self, [run])

    def _fit(self, x: Tensor, out: Tensor) -> dict[str, Tensor]:
        """The closed-form parameters of this batch; running values are kept for evaluation."""
        fits = {name: call(fit, x, out) for name, fit in self.likelihood.fitted.items()}
        for name, value in fits.items():
            self.fitted.follow(name, value.detach())
        return fits


class Scalars(nn.Module):
    """Named scalars of S runs that no gradient trains: [S, 1] each."""

    FOLLOWS = 0.1
    """The share of a new value in a running one."""

    def __init__(self, values: Mapping[str, Scalar], num_runs: int) -> None:
        super().__init__()
        for name, value in values.items():
            stacked = torch.as_tensor(value, dtype=torch.float64).expand(num_runs, 1)
            self.register_buffer(f"of_{name}", stacked.clone())
        self._names = tuple(values)

    def values(self, like: Tensor) -> dict[str, Tensor]:
        """The scalars by name, [S, 1] each, in the precision of the tensor `like`."""
        return {name: self.get_buffer(f"of_{name}").to(like.dtype) for name in self._names}

    def follow(self, name: str, value: Tensor) -> None:
        """Move a running value towards a new one [S, 1]; the first replaces it where it is 0."""
        running = self.get_buffer(f"of_{name}")
        moved = running.lerp(value.to(running), self.FOLLOWS)
        running.copy_(torch.where(running == 0, value, moved))


def build(
    name: str,
    family: Family,
    *,
    image_shape: ImageShape,
    widths: Sequence[int],
    noise: Noise,
    model_hyper: Mapping[str, Any] = MappingProxyType({}),
    likelihood_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    prior_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    log_volume: float = 0.0,
    bfloat16: bool = False,
    by_library: bool = False,
    outputs_at_mean: Tensor | None = None,
) -> VAE:
    """A new VAE of S runs, each initialised from its own key of `noise`.

    `log_volume` is taken off log p(x|z): see `Dataset.log_volume`. `outputs_at_mean`: see
    `Sizes.outputs_at_mean`.
    """
    noises = (noise.at(step=i) for i in itertools.count())

    def layers(num_inputs: int, num_outputs: int) -> StackedLinear:
        return StackedLinear(num_inputs, num_outputs, next(noises))

    sizes = family.sizes(image_shape)._replace(outputs_at_mean=outputs_at_mean)
    networks = MODELS[name].build(sizes, widths, model_hyper, noises)
    between = _between(family, model_hyper if family.latent.layer_model == name else {}, noises)
    shape = PriorShape(family.latent, sizes.pixels, family.num_components)
    learned_prior = {
        # A copy: normals are kept for the next who reads them, and training moves these in place.
        parameter: make(noise.at(step=PRIOR_STEP + i), shape).clone()
        for i, (parameter, make) in enumerate(family.prior.learned.items())
    }
    scalars = likelihood_hyper, prior_hyper
    return VAE(
        networks,
        family,
        between,
        layers,
        learned_prior,
        *scalars,
        log_volume,
        bfloat16,
        by_library,
    )


def _between(
    family: Family, hyper: Mapping[str, Any], noises: Iterator[Noise]
) -> Sequence[Networks]:
    """The networks between neighbouring layers of latents, where posterior or prior has layers."""
    if not family.directions:
        return ()
    latent = family.latent
    return networks_between(latent.layer_model, latent.layers, latent.widths_between, hyper, noises)


PRIOR_STEP = 1 << 20
"""The step of the noise for a prior's initial values, beyond the steps of any layer."""
