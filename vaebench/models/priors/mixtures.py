"""Priors that are mixtures, trained with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vaebench.core.about import About, Limit
from vaebench.models.posteriors import Distribution, Drawing, Latent
from vaebench.models.priors.entry import Encode, PriorShape, prior
from vaebench.ops import densities
from vaebench.ops.noise import Noise, gumbels, normals


def _spread_means(noise: Noise, shape: PriorShape) -> Tensor:
    return normals(noise, 1, shape.num_components, shape.latent.dim)[0]


def _unit_log_vars(noise: Noise, shape: PriorShape) -> Tensor:
    return torch.zeros(len(noise.keys), shape.num_components, shape.latent.dim)


def _even_scores(noise: Noise, shape: PriorShape) -> Tensor:
    return torch.zeros(len(noise.keys), 1, shape.num_components)


def _sample_mixture(
    noise: Noise, num_rows: int, latent: Latent, *, mu: Tensor, log_var: Tensor, scores: Tensor
) -> Tensor:
    """A component by its weight, then a point of it: [S, n, D]. Other counters for each draw."""
    g = gumbels(noise.at(sample=noise.first_sample + 1), 1, num_rows, mu.shape[1])[0].to(mu)
    chosen = (scores + g).argmax(-1)[..., None].expand(-1, -1, latent.dim)
    eps = normals(noise, 1, num_rows, latent.dim)[0].to(mu)
    return densities.reparameterise(mu.gather(1, chosen), log_var.gather(1, chosen), eps)


@prior(
    source="Tomczak & Welling 2018, section 3, the MoG prior, with trained weights",
    sample=_sample_mixture,
    learned={"mu": _spread_means, "log_var": _unit_log_vars, "scores": _even_scores},
    about=About(
        formula=r"\log p(z) = \log \sum_{c=1}^{C} \pi_c \, \mathcal{N}\left( z; \mu_c, "
        r"\mathrm{diag}(\sigma_c^2) \right)",
        wrong_when="On few data: it is trained with the model and may fit the training "
        "codes. Its KL has no closed form, so the rate is sampled.",
        cost="C densities for each code",
        limits=(Limit("standard_normal", "every component is N(0, I)"),),
    ),
)
def mixture_of_gaussians(z: Tensor, *, mu: Tensor, log_var: Tensor, scores: Tensor) -> Tensor:
    """A mixture of C diagonal Gaussians, trained with the model. Its KL has no closed form."""
    return densities.gaussian_mixture_log_prob(z, torch.log_softmax(scores, -1), mu, log_var)


def _pseudo_inputs(noise: Noise, shape: PriorShape) -> Tensor:
    return normals(noise, 1, shape.num_components, shape.num_pixels)[0]


def _encoded(encode: Encode, learned: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """The posteriors of the pseudo-inputs, which the encoder gives as those of any images."""
    return {"components": encode(torch.sigmoid(learned["pseudo_inputs"]))}


def _sample_vamp(
    noise: Noise, num_rows: int, latent: Latent, *, components: Distribution
) -> Tensor:
    """A code of each component for every row, of which one is taken: [S, n, D]."""
    z = components.draw(Drawing(noise, num_rows, densities)).z  # [n, S, C, D]
    scores = gumbels(noise.at(step=noise.step + 1), 1, num_rows, z.shape[2])[0].to(z)
    chosen = scores.argmax(-1).T[..., None, None].expand(-1, -1, 1, z.shape[-1])
    return z.gather(2, chosen)[:, :, 0].transpose(0, 1)


@prior(
    source="Tomczak & Welling 2018, section 3, with trained inputs in [0, 1] and even weights",
    sample=_sample_vamp,
    learned={"pseudo_inputs": _pseudo_inputs},
    prepare=_encoded,
    prepared=("components",),
    unit_inputs=True,
    about=About(
        formula=r"\log p(z) = \log \frac{1}{C} \sum_{c=1}^{C} q(z|u_c)",
        wrong_when="On few data: the trained inputs u may become training images. It needs "
        "images in [0, 1] and a posterior with log q(z|x) at any z.",
        cost="the encoder on C trained inputs at each step, and C densities for each code",
        limits=(
            Limit(
                "mixture_of_gaussians",
                "weights are even and the components are the posteriors of u",
            ),
        ),
    ),
)
def vamp(z: Tensor, *, components: Distribution) -> Tensor:
    """The mixture of the posteriors of C trained pseudo-inputs. Its KL has no closed form."""
    every_row = z.transpose(1, 2).flatten(0, 1)[:, :, None]  # [K B, S, 1, D], beside [S, C, D]
    log_q = components.log_prob(every_row.expand(-1, -1, components.num_examples, -1))
    mixed = densities.log_mean_exp(log_q, -1)  # [K B, S]
    return mixed.unflatten(0, (z.shape[0], z.shape[2])).transpose(1, 2)
