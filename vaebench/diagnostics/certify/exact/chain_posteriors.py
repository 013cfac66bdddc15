"""Posteriors of linear-Gaussian chains and their moments: bottom-up and top-down.

Shapes: a law is affine, weight [S, in, out], bias and log-variance [S, 1, out].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.diagnostics.certify.exact.linear_gaussian import SIGMA
from vaebench.models import VAE, LinearEncoder, StackedLinear


class Affine(NamedTuple):
    """N(z W + c, diag(exp(log_var))) given z."""

    weight: Tensor
    bias: Tensor
    log_var: Tensor


class Moments(NamedTuple):
    """The layers under q, the lowest first."""

    means: list[Tensor]  # [S, B, D_l]
    covariances: list[Tensor]  # [S, D_l, D_l]
    with_above: list[Tensor]  # [S, D_l, D_l+1], of each layer but the top with the one above
    log_vars: list[Tensor]  # [S, 1, D_l] of each given the one that it is drawn from


def laws_of(networks: nn.ModuleList) -> list[Affine]:
    """The laws that linear networks with fixed variances give."""
    return [_law(network) for network in networks]


def _law(network: nn.Module) -> Affine:
    assert isinstance(network, LinearEncoder)
    return Affine(network.mu.weight, network.mu.bias, network.rest)


def prior_laws(model: VAE) -> list[Affine]:
    """The laws of x, z_1, ..., z_L given the layer above; the last given nothing."""
    top = model.latent.layers[-1]
    nothing = torch.zeros(model.num_runs, 1, top, dtype=torch.float64)
    last = Affine(torch.zeros(model.num_runs, top, top, dtype=torch.float64), nothing, nothing)
    return [_decoder_law(model), *laws_of(model.down), last]


def _decoder_law(model: VAE) -> Affine:
    decoder = model.decoder
    assert isinstance(decoder, StackedLinear)
    log_var = torch.full_like(decoder.bias, 2.0 * math.log(SIGMA))
    return Affine(decoder.weight, decoder.bias, log_var)


def _set(law: Affine, gain: Tensor, bias: Tensor, variance: Tensor, wrong: float) -> None:
    """A law of q, [in, out], [out] and [out], moved away by `wrong`."""
    law.weight.copy_(gain[None] * (1.0 - 0.5 * wrong))
    law.bias.copy_(bias + 0.4 * wrong)
    law.log_var.copy_(variance.log() + 0.6 * wrong)


# ------------------------------------------------------------------ from the images up


def _upwards(model: VAE) -> list[Affine]:
    return [_law(model.encoder), *laws_of(model.up)]


def set_bottom_up(model: VAE, wrong: float) -> None:
    """p(z_1|x), and p(z_l+1|z_l), which needs no x, as layers are a chain: by Bayes' rule, each
    layer being N(c, I) before the one below it is seen."""
    below = prior_laws(model)[:-1]
    for law, seen, centre in zip(_upwards(model), below, _centres(model), strict=True):
        weight, precision = seen.weight[0], (-seen.log_var[0, 0]).exp()
        variance = 1.0 / (1.0 + (weight.square() * precision).sum(1))
        gain = (weight * precision).T * variance  # [in, out]
        _set(law, gain, centre - (centre @ weight + seen.bias[0, 0]) @ gain, variance, wrong)


def _centres(model: VAE) -> list[Tensor]:
    """The mean of each layer under the prior: [D_l]."""
    centres = [torch.zeros(model.latent.layers[-1], dtype=torch.float64)]
    for weight, bias, _ in reversed(laws_of(model.down)):
        centres.insert(0, centres[0] @ weight[0] + bias[0, 0])
    return centres


def moments_bottom_up(model: VAE, x: Tensor) -> Moments:
    """The moments of q for x [S, B, P], differentiable."""
    first, *others = laws = _upwards(model)
    means, covariances = [x @ first.weight + first.bias], [_diagonal_matrix(first.log_var)]
    with_above = []
    for weight, bias, log_var in others:
        means.append(means[-1] @ weight + bias)
        with_above.append(covariances[-1] @ weight)
        covariances.append(weight.mT @ with_above[-1] + _diagonal_matrix(log_var))
    return Moments(means, covariances, with_above, [law.log_var for law in laws])


# ------------------------------------------------------------------ from the top down


def set_top_down(model: VAE, wrong: float) -> None:
    """What x says of each layer, the layers below it summed out; of the top one the posterior.

    x|z_l is N(z_l M + o, S), so the encoder's part of p(z_l|z_l+1, x) is N((x - o) S^-1 M' / p,
    1 / p), p the diagonal of M S^-1 M', by which the prior's law is multiplied.
    """
    decoder, *between = [Affine(*(t[0] for t in law)) for law in prior_laws(model)[:-1]]
    weight, offset, covariance = decoder.weight, decoder.bias[0], decoder.log_var[0].exp().diag()
    parts = [_said_by_x(weight, offset, covariance)]
    for law in between:
        offset = law.bias[0] @ weight + offset
        covariance = weight.T @ law.log_var[0].exp().diag() @ weight + covariance
        weight = law.weight @ weight
        parts.append(_said_by_x(weight, offset, covariance))
    parts[-1] = _said_by_x(weight, offset, covariance, before=1.0)
    gains, biases, variances = zip(*parts, strict=True)
    _set(_law(model.encoder), torch.cat(gains, 1), torch.cat(biases), torch.cat(variances), wrong)


def _said_by_x(
    weight: Tensor, offset: Tensor, covariance: Tensor, before: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Gain [P, D_l], bias and variance [D_l] of a layer given x, its precision `before` x added."""
    to_layer = torch.linalg.solve(covariance, weight.T)  # [P, D_l]
    variance = 1.0 / (before + (weight @ to_layer).diagonal())
    gain = to_layer * variance
    return gain, -offset @ gain, variance


def moments_top_down(model: VAE, x: Tensor) -> Moments:
    """The moments of q for x [S, B, P], differentiable."""
    dims, law = model.latent.layers, _law(model.encoder)
    by_encoder = zip(
        (x @ law.weight + law.bias).split(dims, -1), law.log_var.split(dims, -1), strict=True
    )
    *lower, (mean, log_var) = by_encoder
    means, covariances, log_vars = [mean], [_diagonal_matrix(log_var)], [log_var]
    with_above: list[Tensor] = []
    for of_x, of_prior in zip(reversed(lower), reversed(laws_of(model.down)), strict=True):
        (mean, log_var), (weight, bias, prior_log_var) = of_x, of_prior
        precision = (-log_var).exp() + (-prior_log_var).exp()
        share = (-log_var).exp() / precision  # [S, 1, D_l] of the encoder
        moved = weight * (1.0 - share)
        means.insert(0, means[0] @ moved + bias * (1.0 - share) + mean * share)
        with_above.insert(0, moved.mT @ covariances[0])
        log_vars.insert(0, -precision.log())
        covariances.insert(0, with_above[0] @ moved + _diagonal_matrix(log_vars[0]))
    return Moments(means, covariances, with_above, log_vars)


def _diagonal_matrix(log_var: Tensor) -> Tensor:
    return log_var[:, 0].exp().diag_embed()
