"""The distributions that a model is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from vaebench.models.likelihoods import Likelihood
from vaebench.models.networks.sizes import ImageShape, Sizes
from vaebench.models.posteriors import POSTERIORS, Latent, Posterior
from vaebench.models.posteriors.entry import Direction, Layers
from vaebench.models.priors import PRIORS, Prior


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
        """What the networks between such images, its codes and its likelihood take and give; the
        encoder gives the first deterministic layer, where there are such."""
        num_inputs = self.posterior.num_inputs(self.latent)
        means = num_inputs // 2 if self.posterior.conditionals else None
        if features := self.latent.layer_features:
            num_inputs = means = features[0]
        decoded, per_pixel = self.num_decoded, self.likelihood.outputs_per_pixel
        return Sizes(image_shape, num_inputs, decoded, per_pixel, means=means)
