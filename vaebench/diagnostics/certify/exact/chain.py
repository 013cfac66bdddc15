"""The linear-Gaussian VAE of several layers, whose log p(x), posterior and ELBO are exact.

z_L ~ N(0, I), z_l|z_l+1 ~ N(W_l z_l+1 + c_l, V_l), x|z_1 ~ N(W_0 z_1 + b, sigma^2 I). W_1 and above
have one number in a row and in a column, and V_l is what makes the variance of each layer of the
prior 1; with orthogonal columns in W_0 each layer of the true posterior is diagonal, both from the
images up and from the top down, so that q can be exactly right. `wrong` moves every layer of q away
from it, as `linear_gaussian` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.diagnostics.certify.exact import chain_posteriors as posteriors
from vaebench.diagnostics.certify.exact.chain_posteriors import Affine, laws_of, prior_laws
from vaebench.diagnostics.certify.exact.linear_gaussian import PIXELS, SCALES, SIGMA
from vaebench.models import VAE, Family, LinearEncoder, StackedLinear, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS, Latent
from vaebench.models.priors import PRIORS
from vaebench.ops import densities
from vaebench.ops.noise import Noise, key, normals

DIMS = (3, 2, 1)
"""Dimensions of the layers; the first is as wide as W_0 has columns."""
LINKS = (0.5, 0.4, 0.3)
"""What W_1 and above have on their diagonals: the posterior of a layer given the one below has a
variance of 0.75 or more."""
SHIFTS = (0.3, -0.2, 0.4)
"""What c_l repeats."""


class Chain(NamedTuple):
    """A posterior of chains: how to set it beside the true one, and its moments."""

    set: Callable[[VAE, float], None]
    moments: Callable[[VAE, Tensor], posteriors.Moments]


CHAINS = {
    "hierarchical": Chain(posteriors.set_bottom_up, posteriors.moments_bottom_up),
    "ladder": Chain(posteriors.set_top_down, posteriors.moments_top_down),
}


def linear_chain(wrong: float, dims: Sequence[int] = DIMS, posterior: str = "hierarchical") -> VAE:
    """The model in float64, one run; q is the true posterior where `wrong` is 0."""
    nowhere = Noise((key("certify"),))
    latent = Latent(sum(dims), layer_dims=tuple(dims), layer_model="linear")
    family = LIKELIHOODS["gaussian"], POSTERIORS[posterior], PRIORS["hierarchical"], latent
    model = build(
        "linear",
        Family(*family),
        image_shape=(PIXELS,),
        widths=(),
        noise=nowhere,
        likelihood_hyper={"sigma": SIGMA},
    )
    model.down = nn.ModuleList(_affine_down(*pair) for pair in itertools.pairwise(dims))
    model.double().requires_grad_(False)
    _set_prior(model, dims)
    _set_decoder(model, nowhere, dims[0])
    CHAINS[posterior].set(model, wrong)
    return model


def _affine_down(lower: int, upper: int) -> LinearEncoder:
    """A network of the prior whose variances do not depend on the layer above."""
    return LinearEncoder(StackedLinear(upper, lower, Noise((0,))), torch.zeros(1, 1, lower))


def _set_prior(model: VAE, dims: Sequence[int]) -> None:
    for law, (lower, upper) in zip(laws_of(model.down), itertools.pairwise(dims), strict=True):
        links = torch.tensor(LINKS[:upper], dtype=torch.float64)
        law.weight.zero_()[0, range(upper), range(upper)] = links
        law.bias.copy_(_shift(lower))
        law.log_var.zero_()[..., :upper] = (1.0 - links.square()).log()


def _shift(dim: int) -> Tensor:
    return torch.tensor((SHIFTS * dim)[:dim], dtype=torch.float64)


def _set_decoder(model: VAE, noise: Noise, dim: int) -> None:
    decoder = model.decoder
    assert isinstance(decoder, StackedLinear)
    columns = torch.linalg.qr(normals(noise, 1, PIXELS, dim)[0, 0].double()).Q
    weight = columns * torch.tensor(SCALES[:dim], dtype=torch.float64)
    decoder.weight.copy_(weight.T[None])
    decoder.bias.copy_(0.3 * normals(noise.at(step=1), 1, 1, PIXELS)[0].double())


def exact_log_px(model: VAE, x: Tensor) -> Tensor:
    """log p(x) of the first run, from the mean and covariance of each layer downwards: [N]."""
    *lower, top = [Affine(*(t[0] for t in law)) for law in prior_laws(model)]
    mean, covariance = top.bias[0], torch.eye(top.bias.shape[-1], dtype=torch.float64)
    for weight, bias, log_var in reversed(lower):
        mean = mean @ weight + bias[0]
        covariance = weight.T @ covariance @ weight + log_var[0].exp().diag()
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def exact_elbo(model: VAE, x: Tensor) -> Tensor:
    """The ELBO in closed form, differentiable: [S, B, P] -> [S, B].

    Each expected log-density is its value at the means of q, less half of the variance, under q, of
    the layer about its mean given the one above, over its variance under p.
    """
    q = CHAINS[model.family.posterior.name].moments(model, x)
    elbo = torch.zeros_like(x[..., 0])
    laws, layers = prior_laws(model), [x, *q.means]
    for i, (weight, bias, log_var) in enumerate(laws):
        above = layers[i + 1] if i + 1 < len(layers) else torch.zeros_like(layers[i])
        elbo = elbo + densities.gaussian_log_prob(layers[i], above @ weight + bias, log_var)
        spread = torch.zeros_like(log_var)
        if i:
            spread = spread + _diagonal(q.covariances[i - 1])
        if i + 1 < len(layers):
            spread = spread + _diagonal(weight.mT @ q.covariances[i] @ weight)
        if 0 < i < len(layers) - 1:
            spread = spread - 2.0 * _diagonal(q.with_above[i - 1] @ weight)
        elbo = elbo - 0.5 * (spread * (-log_var).exp()).sum(-1)
    for log_var in q.log_vars:
        elbo = elbo + 0.5 * (log_var + densities.LOG_2PI + 1.0).sum(-1)
    return elbo


def _diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1)[:, None]
