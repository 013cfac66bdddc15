"""The VAE of S runs: networks of the registry, with the distributions of its family.

Shapes: x [S, B, P], z [K, S, B, D], decoder output [K, S, B, n P], n numbers for each pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from vaebench.core.hyper import Scalar
from vaebench.core.user_code import call
from vaebench.models.family import Family
from vaebench.models.likelihoods import Likelihood
from vaebench.models.likelihoods.counts import library_size
from vaebench.models.networks.layers import widest
from vaebench.models.networks.side_by_side import of_samples, outputs
from vaebench.models.networks.sizes import Networks
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.posteriors.conditionals import Conditionals, conditionals
from vaebench.models.posteriors.entry import Layers
from vaebench.models.priors import BoundPrior
from vaebench.models.scalars import Scalars
from vaebench.models.stack import select
from vaebench.ops.noise import Noise


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
