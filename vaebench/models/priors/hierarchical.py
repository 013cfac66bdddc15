"""A prior over layers of latents: z is z_1, ..., z_L side by side, z_1 beside the images."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from vaebench.core.about import About, Limit
from vaebench.models.posteriors import Latent
from vaebench.models.posteriors.conditionals import Conditionals, sum_of
from vaebench.models.priors.entry import prior
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals


def _sample(noise: Noise, num_rows: int, latent: Latent, *, layers: Conditionals) -> Tensor:
    """From the top layer down: [S, n, D]."""
    *lower, top = layers.split(normals(noise, 1, num_rows, latent.dim))
    z = [top.to(next(layers.of_pairs[0].network.parameters())) if lower else top]
    for law_below, eps in zip(reversed(layers.of_pairs), reversed(lower), strict=True):
        law = law_below(z[0])
        z.insert(0, densities.reparameterise(law.mu, law.log_var, eps.to(law.mu)))
    return torch.cat(z, -1)[0]


def _log_prob_of_layers(z: Tensor, *, layers: Conditionals) -> list[Tensor]:
    """log p(z_1|z_2), ..., log p(z_L): [K, S, B, D] -> [K, S, B] for each layer."""
    parts = layers.split(z)
    each = zip(layers.of_pairs, itertools.pairwise(parts), strict=True)
    below = [law(above).log_prob(layer) for law, (layer, above) in each]
    return [*below, densities.standard_normal_log_prob(parts[-1])]


@prior(
    source="Burda et al. 2016, section 2, the layers of the generative model",
    sample=_sample,
    log_prob_of_layers=_log_prob_of_layers,
    about=About(
        formula=r"p(z) = p(z_L) \prod_{l=1}^{L-1} p(z_l|z_{l+1}), \qquad p(z_L) = \mathcal N(0, I)",
        wrong_when="Where upper layers say nothing of those below, as in many trained "
        "hierarchies: one layer then has the same bound for less. Look at the rate of each layer.",
        cost="a network for each two layers; the decoder sees z_1, or all with `layer_skip`",
        limits=(Limit("standard_normal", "there is one layer"),),
    ),
)
def hierarchical(z: Tensor, *, layers: Conditionals) -> Tensor:
    """Layers of latents, each a diagonal Gaussian given the layer above; the top one N(0, I)."""
    return sum_of(_log_prob_of_layers(z, layers=layers))
