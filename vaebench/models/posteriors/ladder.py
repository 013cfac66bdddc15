"""The posterior of the ladder VAE: the layers of the prior from the top down, moved by x."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.core.about import About, Limit
from vaebench.models.posteriors.conditionals import (
    Conditional,
    Conditionals,
    Laws,
    draw_of,
    refuse_moment,
    sample_of,
    sum_of,
)
from vaebench.models.posteriors.entry import Draw, Drawing, Latent, posterior
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops import densities
from vaebench.ops.noise import normals


@dataclass(frozen=True)
class TopDown:
    """q(z|x) = q(z_L|x) q(z_L-1|z_L, x) ... q(z_1|z_2, x), diagonal Gaussians.

    Below the top layer each is the product of two, by their precisions: what the encoder says of
    the layer, and what the conditional of the prior says of it given the layer above.
    """

    by_encoder: Laws
    downwards: Conditionals

    def draw(self, drawing: Drawing) -> Draw:
        sizes = drawing.num_samples, self.num_examples, sum(self.downwards.dims)
        noise = normals(drawing.noise, *sizes).to(self.by_encoder[0].mu)
        *lower, eps = self.downwards.split(noise)
        laws, layers = [self.by_encoder[-1]], [sample_of(self.by_encoder[-1], eps)]
        kls = [densities.gaussian_kl(laws[0].mu, laws[0].log_var)]
        for (of_x, law_below), eps in zip(reversed(self._pairs()), reversed(lower), strict=True):
            of_prior = law_below(layers[0])
            laws.insert(0, _merged(of_x, of_prior))
            kls.insert(0, _kl(laws[0], of_prior).mean(0))
            layers.insert(0, sample_of(laws[0], eps))
        return draw_of(laws, layers)._replace(kl_of_layers=torch.stack(kls))

    def _pairs(self) -> list[tuple[DiagonalGaussian, Conditional]]:
        """What the encoder says of each layer below the top, and the prior's law of it."""
        return list(zip(self.by_encoder[:-1], self.downwards.of_pairs, strict=True))

    def log_prob(self, z: Tensor) -> Tensor:
        return sum_of(self.log_prob_of_layers(z))

    def log_prob_of_layers(self, z: Tensor) -> list[Tensor]:
        """log q(z_1|z_2, x), ..., log q(z_L|x): [K, S, B, D] -> [K, S, B] for each layer."""
        parts = self.downwards.split(z)
        each = zip(self._pairs(), itertools.pairwise(parts), strict=True)
        laws = [(_merged(of_x, law(above)), z) for (of_x, law), (z, above) in each]
        return [law.log_prob(z) for law, z in [*laws, (self.by_encoder[-1], parts[-1])]]

    def stopped(self) -> TopDown:
        stopped = tuple(law.stopped() for law in self.by_encoder)
        return TopDown(stopped, self.downwards.stopped())

    @property
    def num_examples(self) -> int:
        return self.by_encoder[0].num_examples

    @property
    def mean(self) -> Tensor:
        refuse_moment("ladder", "its mean")

    @property
    def log_var(self) -> Tensor:
        refuse_moment("ladder", "its variance")


def _merged(one: DiagonalGaussian, other: DiagonalGaussian) -> DiagonalGaussian:
    """The product of two densities, normalised: precisions add up, and weigh the means."""
    share = torch.sigmoid(other.log_var - one.log_var)
    log_var = -torch.logaddexp(-one.log_var, -other.log_var)
    return DiagonalGaussian(other.mu + share * (one.mu - other.mu), log_var)


def _kl(q: DiagonalGaussian, p: DiagonalGaussian) -> Tensor:
    return densities.gaussian_kl_between(q.mu, q.log_var, p.mu, p.log_var)


@posterior(
    source="Sonderby et al. 2016, section 2.1, the precision-weighted posterior",
    num_inputs=lambda latent: 2 * latent.dim,
    conditionals="down",
    closed_form_kl_to=("hierarchical",),
    about=About(
        formula=r"q(z|x) = q(z_L|x) \prod_{l=1}^{L-1} q(z_l|z_{l+1}, x), \quad q(z_l|z_{l+1}, x) "
        r"\propto \mathcal N(z_l; \hat\mu_l(x), \operatorname{diag} \hat\sigma_l^2(x)) "
        r"\, p(z_l|z_{l+1})",
        wrong_when="With a prior of one layer, where the conditionals are the posterior's alone. "
        "The KL is in closed form given the layer above, and sampled over that one.",
        cost="the conditionals of the prior, which it shares",
        limits=(Limit("diagonal_gaussian", "there is one layer"),),
    ),
)
def ladder(numbers: Tensor, latent: Latent, network: Conditionals) -> TopDown:
    """Layers of latents from the top down, each the prior's given the layer above, moved by x.

    The encoder says of every layer a mean and a variance, deterministic from x on: from its last
    hidden layer, or, as in the paper, each from a deterministic layer (`Latent.layer_features`).
    """
    mu, log_var = (network.split(half) for half in numbers.chunk(2, -1))
    return TopDown(tuple(map(DiagonalGaussian, mu, log_var)), network)
