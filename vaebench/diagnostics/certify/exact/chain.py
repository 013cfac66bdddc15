"""The linear-Gaussian VAE of several layers, whose log p(x), posterior and ELBO are exact.

z_L ~ N(0, I), z_l|z_l+1 ~ N(W_l z_l+1 + c_l, V_l), x|z_1 ~ N(W_0 z_1 + b, sigma^2 I), and the
posterior bottom-up: q(z_1|x), q(z_l+1|z_l). As it is a chain, p(z_l+1|z_l, x) needs no x. W_1 and
above have one number in a row and in a column, and V_l is what makes the variance of each layer of
the prior 1; with orthogonal columns in W_0 each layer of the true posterior is diagonal, so that q
can be exactly right. `wrong` moves every layer of q away from it, as `linear_gaussian` does.

Shapes: a law is affine, weight [S, in, out], bias and log-variance [S, 1, out].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


class Affine(NamedTuple):
    """N(z W + c, diag(exp(log_var))) given z."""

    weight: Tensor
    bias: Tensor
    log_var: Tensor


def linear_chain(wrong: float, dims: Sequence[int] = DIMS) -> VAE:
    """The model in float64, one run; q is the true posterior where `wrong` is 0."""
    nowhere = Noise((key("certify"),))
    latent = Latent(sum(dims), layer_dims=tuple(dims), layer_model="linear")
    likelihood, posterior = LIKELIHOODS["gaussian"], POSTERIORS["hierarchical"]
    model = build(
        "linear",
        Family(likelihood, posterior, PRIORS["hierarchical"], latent),
        image_shape=(PIXELS,),
        widths=(),
        noise=nowhere,
        likelihood_hyper={"sigma": SIGMA},
    )
    model.down = nn.ModuleList(_affine_down(*pair) for pair in itertools.pairwise(dims))
    model.double().requires_grad_(False)
    _set_prior(model, dims)
    _set_decoder(model, nowhere, dims[0])
    _set_posterior(model, wrong, dims)
    return model


def _affine_down(lower: int, upper: int) -> LinearEncoder:
    """A network of the prior whose variances do not depend on the layer above."""
    return LinearEncoder(StackedLinear(upper, lower, Noise((0,))), torch.zeros(1, 1, lower))


def _set_prior(model: VAE, dims: Sequence[int]) -> None:
    for law, (lower, upper) in zip(_laws(model.down), itertools.pairwise(dims), strict=True):
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


def _set_posterior(model: VAE, wrong: float, dims: Sequence[int]) -> None:
    """Bayes' rule layer by layer: each is N(c, I) before the layer below it, or x, is seen."""
    seen = (_decoder_law(model), *_laws(model.down))
    for law, law_below, centre in zip(_posterior_laws(model), seen, _centres(model), strict=True):
        weight, precision = law_below.weight[0], (-law_below.log_var[0, 0]).exp()
        variance = 1.0 / (1.0 + (weight.square() * precision).sum(1))
        gain = (weight * precision).T * variance  # [in, out]
        law.weight.copy_(gain[None] * (1.0 - 0.5 * wrong))
        law.bias.copy_(centre - (centre @ weight + law_below.bias[0, 0]) @ gain + 0.4 * wrong)
        law.log_var.copy_(variance.log() + 0.6 * wrong)


def _centres(model: VAE) -> list[Tensor]:
    """The mean of each layer under the prior: [D_l]."""
    centres = [torch.zeros(model.latent.layers[-1], dtype=torch.float64)]
    for weight, bias, _ in reversed(_laws(model.down)):
        centres.insert(0, centres[0] @ weight[0] + bias[0, 0])
    return centres


def _laws(networks: nn.ModuleList) -> list[Affine]:
    return [_law(network) for network in networks]


def _law(network: nn.Module) -> Affine:
    assert isinstance(network, LinearEncoder)
    return Affine(network.mu.weight, network.mu.bias, network.rest)


def _decoder_law(model: VAE) -> Affine:
    decoder = model.decoder
    assert isinstance(decoder, StackedLinear)
    return Affine(
        decoder.weight, decoder.bias, torch.full_like(decoder.bias, 2.0 * math.log(SIGMA))
    )


def _posterior_laws(model: VAE) -> list[Affine]:
    return [_law(model.encoder), *_laws(model.up)]


def _prior_laws(model: VAE) -> list[Affine]:
    """The laws of x, z_1, ..., z_L given the layer above; the last given nothing."""
    top = model.latent.layers[-1]
    nothing = torch.zeros(model.num_runs, 1, top, dtype=torch.float64)
    last = Affine(torch.zeros(model.num_runs, top, top, dtype=torch.float64), nothing, nothing)
    return [_decoder_law(model), *_laws(model.down), last]


def exact_log_px(model: VAE, x: Tensor) -> Tensor:
    """log p(x) of the first run, from the mean and covariance of each layer downwards: [N]."""
    *lower, top = [Affine(*(t[0] for t in law)) for law in _prior_laws(model)]
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
    means, covariances, below = _moments(model, x)
    elbo = torch.zeros_like(x[..., 0])
    laws, layers = _prior_laws(model), [x, *means]
    for i, (weight, bias, log_var) in enumerate(laws):
        above = layers[i + 1] if i + 1 < len(layers) else torch.zeros_like(layers[i])
        elbo = elbo + densities.gaussian_log_prob(layers[i], above @ weight + bias, log_var)
        spread = torch.zeros_like(log_var)
        if i:
            spread = spread + _diagonal(covariances[i - 1])
        if i + 1 < len(layers):
            spread = spread + _diagonal(weight.mT @ covariances[i] @ weight)
        if 0 < i < len(layers) - 1:
            spread = spread - 2.0 * _diagonal(below[i] @ weight)
        elbo = elbo - 0.5 * (spread * (-log_var).exp()).sum(-1)
    for law in _posterior_laws(model):
        elbo = elbo + 0.5 * (law.log_var + densities.LOG_2PI + 1.0).sum(-1)
    return elbo


def _moments(model: VAE, x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The moments of the layers under q: means [S, B, D_l], covariances [S, D_l, D_l], and those of
    each layer with the one above it [S, D_l, D_l+1], from the second entry on."""
    first, *others = _posterior_laws(model)
    means, covariances = [x @ first.weight + first.bias], [_diagonal_matrix(first.log_var)]
    below = [torch.empty(0)]
    for weight, bias, log_var in others:
        means.append(means[-1] @ weight + bias)
        below.append(covariances[-1] @ weight)
        covariances.append(weight.mT @ below[-1] + _diagonal_matrix(log_var))
    return means, covariances, below


def _diagonal_matrix(log_var: Tensor) -> Tensor:
    return log_var[:, 0].exp().diag_embed()


def _diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1)[:, None]
