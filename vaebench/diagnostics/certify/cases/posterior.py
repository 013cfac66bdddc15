"""Posteriors of random numbers, as an encoder gives them, and draws of them.

Shapes: numbers [S, B, R], z [K, S, B, D].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar
from vaebench.diagnostics.certify.cases.hyperparameters import two_values
from vaebench.models import VAE, Family, build, select
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Distribution, Drawing, Latent, Posterior
from vaebench.models.priors import PRIORS
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

ROWS = 2
MODERATE, EXTREME = 0.7, 4.0
"""Sizes of the numbers. At the first, scales differ by about 2 and gates are half open;
at the second a map that must be kept invertible would not be so by itself."""


@dataclass(frozen=True)
class PosteriorCase:
    """q(z|x) of S runs, with the numbers and the network that it was built from."""

    family: Posterior
    latent: Latent
    noise: Noise
    model: VAE
    numbers: Tensor
    hyper: Mapping[str, Scalar]

    @cached_property
    def q(self) -> Distribution:
        return self.model.distribution(self.numbers, None, **self.hyper)

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors that q depends on: the numbers, and the weights of any network."""
        return [self.numbers, *self.model.posterior_parameters()]

    def draw(self, num_samples: int) -> tuple[Tensor, Tensor]:
        """True samples, and log q(z|x) of each."""
        with torch.no_grad():
            draw = self.q.draw(Drawing(self.noise, num_samples, densities))
            return draw.z, self.q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x

    def alone(self, run: int) -> PosteriorCase:
        """The case of one run without the others."""
        hyper = {n: v[[run]] if isinstance(v, Tensor) else v for n, v in self.hyper.items()}
        model = select(self.model, [run])
        noise = Noise((self.noise.keys[run],))
        return PosteriorCase(self.family, self.latent, noise, model, self.numbers[[run]], hyper)


def posterior_case(
    family: Posterior,
    latent: Latent,
    noise: Noise,
    hyper: Mapping[str, Scalar] = MappingProxyType({}),
    *,
    num_rows: int = ROWS,
    size: float = MODERATE,
) -> PosteriorCase:
    """q(z|x) of S runs from random numbers and, where the family has one, a random network."""
    defaults = {name: two_values(h)[0] for name, h in family.hyper.items()}
    numbers = size * normals(noise.at(step=50), 1, num_rows, family.num_inputs(latent))[0].double()
    prior = PRIORS["uniform_categorical" if family.discrete else "standard_normal"]
    parts = Family(LIKELIHOODS["bernoulli"], family, prior, latent)
    model = build("mlp", parts, image_shape=(1,), widths=(), noise=noise).double()
    return PosteriorCase(
        family, latent, noise, model, numbers.requires_grad_(), {**defaults, **hyper}
    )


def ratios(z: Tensor, log_q: Tensor) -> Tensor:
    """p(z) / q(z) of narrow Gaussians p within q, whose expectations are 1: [K, S, B, n].

    Half as wide as q, around its mean and one deviation of p to either side in every direction.
    """
    dim = z.shape[-1]
    mean, centred = z.mean(0), z - z.mean(0)
    covariance = torch.einsum("ksbi,ksbj->sbij", centred, centred) / len(z)
    scale = 0.5 * torch.linalg.cholesky(covariance)
    shifts = torch.cat([torch.zeros(1, dim).double(), torch.eye(dim).double(), -torch.eye(dim)])
    log_p = [
        densities.cholesky_gaussian_log_prob(z, mean + scale @ shift, scale) for shift in shifts
    ]
    return (torch.stack(log_p, -1) - log_q[..., None]).exp()
