"""Objectives that press on the total correlation of q(z), the mean of q(z|x) over the data."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.core.about import About
from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.posteriors.entry import Layers
from vaebench.models.terms import PRIOR_DRAWS, Terms
from vaebench.objectives.entry import Auxiliary, SameAs, objective
from vaebench.ops.noise import uniforms

Weight = Annotated[Scalar, Hyper((1.0, 20.0), log=True, low=0.0)]


def _decomposed(
    t: Terms, log_weights: Tensor, alpha: Scalar, beta: Scalar, gamma: Scalar
) -> Tensor:
    """Distortion plus the parts of the rate, log q(z) estimated with weights [B, B]: [S, B] nats.

    Chen et al. 2018, eq. 2: index-code mutual information, total correlation, dimension-wise KL.
    """
    log_qz = torch.logsumexp(t.pairwise_log_q.sum(-1) + log_weights, -1)  # [K, S, B]
    log_qz_d = torch.logsumexp(t.pairwise_log_q + log_weights[..., None], -2).sum(-1)
    information = (t.log_qz_x - log_qz).mean(0)
    correlation = (log_qz - log_qz_d).mean(0)
    by_dimension = (log_qz_d - t.log_pz).mean(0)
    parts = alpha * information + beta * correlation + gamma * by_dimension
    return t.distortion + t.weighted_rate(parts)


@objective(
    source="Chen et al. 2018, eq. 4, minibatch-weighted sampling of eq. 3",
    bound="none",
    same_as=(SameAs("elbo_mc", at={"alpha": 1.0, "beta": 1.0, "gamma": 1.0}),),
    of_batch=True,
    penalises={
        "alpha": lambda a: a.mutual_information + math.log(a.num_examples),
        "beta": lambda a: a.total_correlation + (a.latent_dim - 1) * math.log(a.num_examples),
        "gamma": lambda a: a.dimension_kl - a.latent_dim * math.log(a.num_examples),
    },
    draws="log_qz_x",
    needs="independent_dimensions",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \frac{1}{K} \sum_{k=1}^{K} \left( \alpha "
        r"\log \frac{q(z_k|x)}{\hat{q}(z_k)} + \beta \log "
        r"\frac{\hat{q}(z_k)}{\prod_d \hat{q}(z_{kd})} + \gamma \log "
        r"\frac{\prod_d \hat{q}(z_{kd})}{p(z_k)} \right), \qquad \hat{q}(z) = "
        r"\frac{1}{N B} \sum_{j=1}^{B} q(z|x_j)",
        wrong_when="As a value: the estimate of q(z) is too low, by log N and more, so that "
        "the parts are off by constants. In small minibatches the estimate is "
        "dominated by the code's own example.",
        cost="K B^2 D densities of a minibatch of B, for all pairs of codes and examples",
    ),
)
def beta_tc(t: Terms, *, alpha: Weight = 1.0, beta: Weight = 6.0, gamma: Weight = 1.0) -> Tensor:
    """Distortion plus the weighted parts of the rate, log q(z) by minibatch weighting: [S, B] nats.

    Every example of the minibatch weighs 1 / (N B), N the size of the training part. That is too
    low by log N and more: with the whole training part as the minibatch, each log q is off by
    exactly -log N, constants that move the loss and not its gradient.
    """
    num_rows = t.shape[1]
    log_weights = t.z.new_full((num_rows, num_rows), -math.log(t.size_of_data * num_rows))
    return _decomposed(t, log_weights, alpha, beta, gamma)


@objective(
    source="Chen et al. 2018, eq. 4, minibatch stratified sampling of appendix C",
    bound="none",
    same_as=(SameAs("elbo_mc", at={"alpha": 1.0, "beta": 1.0, "gamma": 1.0}),),
    of_batch=True,
    penalises={
        "alpha": lambda a: a.mutual_information,
        "beta": lambda a: a.total_correlation,
        "gamma": lambda a: a.dimension_kl,
    },
    draws="log_qz_x",
    needs="independent_dimensions",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \frac{1}{K} \sum_{k=1}^{K} \left( \alpha "
        r"\log \frac{q(z_k|x)}{\hat{q}(z_k)} + \beta \log "
        r"\frac{\hat{q}(z_k)}{\prod_d \hat{q}(z_{kd})} + \gamma \log "
        r"\frac{\prod_d \hat{q}(z_{kd})}{p(z_k)} \right), \qquad \hat{q}(z) = "
        r"\sum_{j=1}^{B} \omega_j \, q(z|x_j), \qquad \omega_j = \frac{1}{N}, \; "
        r"\frac{1}{M} \text{ or } \frac{N - M}{N M}, \; M = B - 1",
        wrong_when="In small minibatches: q(z) is estimated without bias, its logarithm is not.",
        cost="K B^2 D densities of a minibatch of B, for all pairs of codes and examples",
    ),
)
def beta_tc_stratified(
    t: Terms, *, alpha: Weight = 1.0, beta: Weight = 6.0, gamma: Weight = 1.0
) -> Tensor:
    """Distortion plus the weighted parts of the rate, log q(z) by stratified sampling: [S, B] nats.

    q(z) is estimated without bias, its logarithm is not: low where few examples share the region
    of z. Small minibatches understate the mutual information's counterpart accordingly.
    """
    return _decomposed(t, _stratified(t).to(t.z), alpha, beta, gamma)


def _stratified(t: Terms) -> Tensor:
    """log weights [B, B] of example j for the code of i: own 1/N, others 1/M, the last the rest.

    M = B - 1 others; the last is the neighbour before i, and has (N - M) / (N M).
    """
    num_rows, num = t.shape[1], t.size_of_data
    others = max(1, num_rows - 1)
    weights = torch.full((num_rows, num_rows), 1.0 / others, dtype=torch.float64)
    rows = torch.arange(num_rows)
    weights[rows, rows - 1] = max(num - others, 1) / (num * others)
    weights[rows, rows] = 1.0 / num
    return weights.log()


CRITIC_WIDTH, CRITIC_LAYERS, LEAK = 128, 3, 0.2


def _critic(width: int, layers: Layers) -> nn.Module:
    """An MLP with one output. Kim & Mnih use 6 layers of 1000 units, for images of 64 x 64."""
    hidden: list[nn.Module] = []
    for num_inputs in (width, *[CRITIC_WIDTH] * (CRITIC_LAYERS - 1)):
        hidden += [layers(num_inputs, CRITIC_WIDTH), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*hidden, layers(CRITIC_WIDTH, 1))


def _critic_loss(t: Terms) -> Tensor:
    """Cross-entropy of telling codes from codes with their dimensions shuffled: [S, B // 2].

    Kim & Mnih 2018, algorithm 2; the two halves of the minibatch serve as its two batches.
    """
    assert t.noise is not None, "terms that are not of a step have no draws"
    assert t.auxiliary is not None, "this objective declares its network"
    half = t.shape[1] // 2
    codes, others = t.z[0, :, :half].detach(), t.z[0, :, half : 2 * half].detach()
    noise = t.noise.at(sample=t.noise.first_sample + PRIOR_DRAWS)
    order = uniforms(noise, others.shape[-1], half).argsort(-1).mT.to(others.device)
    shuffled = others.gather(1, order)  # each dimension in an order of its own
    real, fake = (t.auxiliary(z)[..., 0] for z in (codes, shuffled))
    return 0.5 * (F.softplus(-real) + F.softplus(fake))


@objective(
    source="Kim & Mnih 2018, eq. 2 and 3",
    bound="none",
    same_as=(SameAs("elbo", at={"gamma": 0.0}),),
    auxiliary=Auxiliary(_critic, _critic_loss),
    penalises={"gamma": lambda a: a.total_correlation},
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \mathcal{R} + \gamma \frac{1}{K} "
        r"\sum_{k=1}^{K} f(z_k), \qquad f(z) \approx \log \frac{q(z)}{\prod_d "
        r"q(z_d)}",
        wrong_when="Where the discriminator lags behind the encoder: the penalty is then "
        "too low, and what it does depends on how the two are trained against "
        "each other.",
        cost="a discriminator of three hidden layers of 128 units, trained beside the model",
    ),
)
def factor_vae(t: Terms, *, gamma: Weight = 6.0) -> Tensor:
    """The ELBO plus gamma times the total correlation of q(z), by a discriminator: [S, B] nats.

    Its log-odds that a code is of q(z), not of the product of its marginals, is the integrand of
    the total correlation where the discriminator is optimal; one that lags makes it too low.
    """
    log_odds = t.judge(t.z.transpose(0, 1).flatten(1, 2))[..., 0]  # [S, K B]
    correlation = log_odds.unflatten(1, (t.num_samples, -1)).mean(1)
    return t.distortion + t.rate + gamma * correlation
