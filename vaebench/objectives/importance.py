"""Importance-weighted bounds, and estimators of their gradients."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Annotated

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.terms import Terms
from vaebench.objectives.entry import GradientOf, SameAs, objective
from vaebench.objectives.estimators import estimator
from vaebench.ops import densities

ELBO_OF_ONE_SAMPLE = SameAs("elbo_mc", num_samples=1)


@objective(
    source="Burda et al. 2016, eq. 8",
    bound="lower",
    tight=True,
    same_as=(ELBO_OF_ONE_SAMPLE, SameAs("renyi", other_at={"alpha": 0.0})),
    no_looser_than=("elbo", "elbo_mc", "miwae", "ciwae", "renyi", "tvo"),
    tighter_with_samples=True,
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\log \frac{1}{K} \sum_{k=1}^{K} w_k",
        wrong_when="For the encoder: its gradient drowns in noise as K grows, and q(z|x) "
        "tends to be broader than the best q of the ELBO. At a fixed number of "
        "decoder evaluations it takes K times fewer steps.",
    ),
)
def iwae(t: Terms) -> Tensor:
    """Minus log (1/K) sum_k w_k: [S, B] nats. Tightens to log p(x) as K grows.

    The signal-to-noise ratio of its encoder gradient falls as 1 / sqrt(K) (Rainforth et al. 2018).
    """
    return -densities.log_mean_exp(t.log_w)


@objective(
    source="Tucker et al. 2019, IWAE-DReG; Burda et al. 2016, section 3, for the decoder",
    bound="lower",
    tight=True,
    same_as=(SameAs("iwae"), SameAs("elbo_stl", num_samples=1)),
    gradient_of={"encoder": GradientOf("iwae"), "decoder": GradientOf("iwae")},
    still_at_posterior=True,
    no_looser_than=("elbo", "elbo_mc"),
    tighter_with_samples=True,
    draws="log_qz_x_path",
    needs="log_qz_x_at_any_z",
    about=About(
        formula=r"\mathcal{L} = -\log \frac{1}{K} \sum_{k=1}^{K} w_k, \qquad "
        r"\nabla_{\theta} \mathcal{L} = -\sum_{k=1}^{K} \tilde{w}_k "
        r"\nabla_{\theta} \log p(x, z_k), \qquad \nabla_{\phi} \mathcal{L} = "
        r"-\sum_{k=1}^{K} \tilde{w}_k^2 \frac{\partial \log w_k}{\partial z_k} "
        r"\frac{\partial z_k}{\partial \phi}",
        wrong_when="For discrete codes, which have no gradient through z. Far from the true "
        "posterior its gradient may be noisier than that of `iwae`.",
    ),
)
def dreg(t: Terms) -> Tensor:
    """Minus the IWAE bound, doubly reparameterised: [S, B] nats.

    The encoder's gradient comes through z alone, with squared normalised weights; the decoder's has
    the normalised weights themselves. One set of weights for both is wrong for one of them.
    """
    bound, weights, _ = ops.importance_weights(t.log_w_path.detach())
    return -estimator(t, bound, decoder=weights, path=weights.square())


def _grouped(t: Terms, log_w: Tensor, groups: int) -> Tensor:
    """[M K', S, B] -> [M, K', S, B]. Raises InputError where M does not divide the samples."""
    if t.num_samples % groups:
        raise InputError(
            f"groups must divide num_samples; got {groups} groups of {t.num_samples} samples"
        )
    return log_w.unflatten(0, (groups, -1))


Groups = Annotated[int, Hyper(low=1)]


@objective(
    source="Rainforth et al. 2018, MIWAE",
    bound="lower",
    tight=True,
    same_as=(
        SameAs("iwae", at={"groups": 1}),
        SameAs("elbo_mc", at={"groups": 6}, num_samples=6),
    ),
    no_looser_than=("elbo", "elbo_mc"),
    tighter_with_samples=True,
    min_samples=2,
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\frac{1}{M} \sum_{m=1}^{M} \log \frac{M}{K} \sum_{k \in "
        r"\text{group } m} w_k, \qquad M = \text{groups}",
        wrong_when="For the decoder: its bound is that of K / M samples, looser than `iwae` "
        "of all K.",
    ),
)
def miwae(t: Terms, *, groups: Groups = 2) -> Tensor:
    """Minus the mean of M IWAE bounds of K / M samples each: [S, B] nats. K counts all samples.

    Looser than IWAE of all K; the encoder's gradient has the better signal-to-noise ratio.
    """
    return -densities.log_mean_exp(_grouped(t, t.log_w, groups), 1).mean(0)


@objective(
    source="Rainforth et al. 2018, PIWAE",
    bound="lower",
    tight=True,
    same_as=(SameAs("iwae"),),
    gradient_of={
        "encoder": GradientOf("miwae", {"groups": 2}),
        "decoder": GradientOf("iwae"),
    },
    no_looser_than=("elbo", "elbo_mc"),
    tighter_with_samples=True,
    min_samples=2,
    draws="log_qz_x_path",
    needs="log_qz_x_at_any_z",
    about=About(
        formula=r"\mathcal{L} = -\log \frac{1}{K} \sum_{k=1}^{K} w_k, \qquad "
        r"\nabla_{\phi} \mathcal{L} = -\nabla_{\phi} \frac{1}{M} \sum_{m=1}^{M} "
        r"\log \frac{M}{K} \sum_{k \in \text{group } m} w_k, \qquad M = "
        r"\text{groups}",
        wrong_when="Encoder and decoder follow different objectives, so no single loss is "
        "at its best where training ends.",
    ),
)
def piwae(t: Terms, *, groups: Groups = 2) -> Tensor:
    """Minus the IWAE bound of all K samples; the encoder follows MIWAE's of M groups: [S, B] nats.

    The decoder has the tight bound, the encoder the better signal-to-noise ratio.
    """
    log_w = t.log_w_path.detach()
    encoder = torch.softmax(_grouped(t, log_w, groups), 1).flatten(0, 1) / groups
    bound, decoder, _ = ops.importance_weights(log_w)
    return -estimator(t, bound, decoder=decoder, path=encoder, score=encoder)


@objective(
    source="Rainforth et al. 2018, CIWAE",
    bound="lower",
    tight=True,
    bound_for={"beta": (0.0, 1.0)},
    same_as=(
        SameAs("iwae", at={"beta": 0.0}),
        SameAs("elbo_mc", at={"beta": 1.0}),
        ELBO_OF_ONE_SAMPLE,
    ),
    no_looser_than=("elbo", "elbo_mc"),
    tighter_with_samples=True,
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\beta \frac{1}{K} \sum_{k=1}^{K} \log w_k - (1 - \beta) "
        r"\log \frac{1}{K} \sum_{k=1}^{K} w_k",
        wrong_when="With many samples: it stays below log p(x) by beta times the gap of the "
        "ELBO however large K is.",
    ),
)
def ciwae(
    t: Terms, *, beta: Annotated[Scalar, Hyper((0.01, 1.0), log=True, low=0.0, high=1.0)] = 0.5
) -> Tensor:
    """Minus beta ELBO + (1 - beta) IWAE, on the same samples: [S, B] nats.

    Looser than IWAE by beta of its distance from the ELBO, also as K grows.
    """
    return -(beta * t.log_w.mean(0) + (1.0 - beta) * densities.log_mean_exp(t.log_w))


MAX_SUBSETS = 5000


@functools.lru_cache(maxsize=16)
def _subsets(num_samples: int, size: int) -> Tensor:
    """All subsets of that size of range(num_samples): [subsets, size]."""
    return torch.tensor(list(itertools.combinations(range(num_samples), size)))


@objective(
    source="Nowozin 2018, eq. 18, 20 and 21",
    bound="none",
    tight=True,
    same_as=(SameAs("iwae", at={"order": 0}),),
    min_samples=2,
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\sum_{j=0}^{m} (-1)^j \frac{(K - j)^m}{(m - j)! \, j!} "
        r"\, \bar{L}_{K-j}, \qquad \bar{L}_n = \text{mean over the subsets } A "
        r"\text{ of } n \text{ samples of } \log \frac{1}{n} \sum_{k \in A} w_k, "
        r"\qquad m = \text{order}",
        wrong_when="As a training loss: it is no bound, and an encoder can drive it up "
        "without end by making all weights but one vanish.",
        cost="log-mean-exps over every subset of K - order samples or more, besides "
        "the decoder's work",
    ),
)
def jackknife(t: Terms, *, order: Annotated[int, Hyper(low=0)] = 1) -> Tensor:
    """Minus the IWAE bound less its bias to the given order in 1/K (JVI): [S, B] nats.

    Not a bound, and an estimate rather than a loss: with few samples it grows without end as all
    weights but one vanish, which training finds. Its variance grows with the order, and its cost as
    K^order, for it averages over every subset of K - order samples or more.
    """
    num_samples = t.num_samples
    if order >= num_samples or math.comb(num_samples, order) > MAX_SUBSETS:
        raise InputError(
            f"order must be below num_samples, of which at most {MAX_SUBSETS} subsets are averaged "
            f"over; got order {order} of {num_samples} samples"
        )
    estimate = torch.zeros_like(t.distortion)
    for j in range(order + 1):
        size = num_samples - j
        share = size**order / (math.factorial(order - j) * math.factorial(j))
        subsets = _subsets(num_samples, size).to(t.z.device)
        bounds = densities.log_mean_exp(t.log_w[subsets], 1)  # [subsets, S, B]
        estimate = estimate + (-1) ** j * share * bounds.mean(0)
    return -estimate
