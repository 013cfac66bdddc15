"""Posteriors over layers of latents: z is z_1, ..., z_L side by side, z_1 beside the images."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor

from vaebench.core.about import About, Limit
from vaebench.models.posteriors.conditionals import (
    Conditionals,
    draw_of,
    refuse_moment,
    sample_of,
    sum_of,
)
from vaebench.models.posteriors.entry import Draw, Drawing, Latent, posterior
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops.noise import normals


@dataclass(frozen=True)
class BottomUp:
    """q(z|x) = q(z_1|x) q(z_2|z_1) ... q(z_L|z_L-1), diagonal Gaussians."""

    first: DiagonalGaussian
    upwards: Conditionals

    def draw(self, drawing: Drawing) -> Draw:
        sizes = drawing.num_samples, self.num_examples, sum(self.upwards.dims)
        eps = self.upwards.split(normals(drawing.noise, *sizes).to(self.first.mu))
        laws, layers = [self.first], [sample_of(self.first, eps[0])]
        for law_above, noise in zip(self.upwards.of_pairs, eps[1:], strict=True):
            laws.append(law_above(layers[-1]))
            layers.append(sample_of(laws[-1], noise))
        return draw_of(laws, layers)

    def log_prob(self, z: Tensor) -> Tensor:
        return sum_of(self.log_prob_of_layers(z))

    def log_prob_of_layers(self, z: Tensor) -> list[Tensor]:
        """log q(z_1|x), log q(z_2|z_1), ...: [K, S, B, D] -> [K, S, B] for each layer."""
        parts = self.upwards.split(z)
        each = zip(self.upwards.of_pairs, itertools.pairwise(parts), strict=True)
        above = [law(below).log_prob(layer) for law, (below, layer) in each]
        return [self.first.log_prob(parts[0]), *above]

    def stopped(self) -> BottomUp:
        return BottomUp(self.first.stopped(), self.upwards.stopped())

    @property
    def num_examples(self) -> int:
        return self.first.num_examples

    @property
    def mean(self) -> Tensor:
        refuse_moment("hierarchical", "its mean")

    @property
    def log_var(self) -> Tensor:
        refuse_moment("hierarchical", "its variance")


@posterior(
    source="Burda et al. 2016, section 2, the layers of the recognition model",
    num_inputs=lambda latent: 2 * latent.layers[0],
    conditionals="up",
    about=About(
        formula=r"q(z|x) = q(z_1|x) \prod_{l=1}^{L-1} q(z_{l+1}|z_l), \qquad "
        r"q(z_{l+1}|z_l) = \mathcal N(\mu_l(z_l), \operatorname{diag} \sigma_l^2(z_l))",
        wrong_when="Where the loss needs the KL in closed form, as `elbo`: there is none. The path "
        "of estimators such as `dreg` leads through all layers.",
        cost="a network for each two layers, and a pass through it for log q(z|x) at other codes",
        limits=(Limit("diagonal_gaussian", "there is one layer"),),
    ),
)
def hierarchical(numbers: Tensor, latent: Latent, network: Conditionals) -> BottomUp:
    """Layers of latents, each a diagonal Gaussian given the layer below; the first given x."""
    return BottomUp(DiagonalGaussian(*numbers.chunk(2, -1)), network)
