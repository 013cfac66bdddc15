"""Bounds from other divergences, and from a path between prior and posterior."""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
from torch import Tensor

from vaebench.core.about import About, Limit
from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.terms import Terms
from vaebench.objectives.entry import GradientOf, SameAs, objective
from vaebench.objectives.estimators import estimator
from vaebench.objectives.importance import ELBO_OF_ONE_SAMPLE
from vaebench.ops import densities


@objective(
    source="Li & Turner 2016, section 4.1",
    bound="lower",
    tight=True,
    bound_for={"alpha": (0.0, 1.0)},
    same_as=(
        SameAs("iwae", at={"alpha": 0.0}),
        SameAs("elbo_mc", at={"alpha": 1.0}),
        ELBO_OF_ONE_SAMPLE,
    ),
    no_looser_than=("elbo", "elbo_mc"),
    tighter_with_samples=True,
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\frac{1}{1 - \alpha} \log \frac{1}{K} \sum_{k=1}^{K} "
        r"w_k^{1 - \alpha}",
        wrong_when="Outside of [0, 1]: below 0 it is an upper bound, and that only as K "
        "grows; above 1 it is looser than the ELBO.",
    ),
)
def renyi(
    t: Terms, *, alpha: Annotated[Scalar, Hyper((0.0, 1.0), low=-10.0, high=10.0)] = 0.5
) -> Tensor:
    """Minus the variational Renyi bound, log-mean of w^(1 - alpha) over 1 - alpha: [S, B] nats.

    Between IWAE (alpha = 0) and the ELBO (alpha = 1). Below 0 it is an upper bound as K grows, but
    not at any K known beforehand; above 1 the estimate lies above a bound looser than the ELBO.
    """
    return -densities.log_power_mean(t.log_w, 1.0 - alpha)


@objective(
    source="Li & Turner 2016, section 4.2, VR-max",
    bound="none",
    tight=True,
    same_as=(ELBO_OF_ONE_SAMPLE,),
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\max_{k} \log w_k",
        wrong_when="As a bound or a grade: it passes log p(x) as K grows. The gradient is "
        "that of one sample.",
        limits=(Limit("renyi", "alpha goes to minus infinity"),),
    ),
)
def vr_max(t: Terms) -> Tensor:
    """Minus the largest log w of the samples: [S, B] nats. Renyi's limit at alpha = -infinity.

    No bound: it grows past log p(x) with K.
    """
    return -t.log_w.amax(0)


@objective(
    source="Dieng et al. 2017, section 2, CUBO",
    bound="upper",
    tight=True,
    bound_for={"order": (1.0, 10.0)},
    same_as=(SameAs("iwae", at={"order": 1.0}), ELBO_OF_ONE_SAMPLE),
    gradient_of={"encoder": GradientOf("cubo")},
    draws="log_qz_x_path",
    needs="log_qz_x_at_any_z",
    about=About(
        formula=r"\mathcal{L} = -\frac{1}{n} \log \frac{1}{K} \sum_{k=1}^{K} w_k^n, "
        r"\qquad \nabla_{\phi} \mathcal{L} = -(n - 1) \sum_{k=1}^{K} \tilde{v}_k "
        r"\frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial "
        r"\phi}, \qquad \tilde{v}_k = \frac{w_k^n}{\sum_{j} w_j^n}, \; n = "
        r"\text{order}",
        wrong_when="With few samples: the estimate is then below the upper bound, at K = 1 "
        "it is the ELBO. A number printed as an upper bound is one only as K "
        "grows.",
    ),
)
def cubo(
    t: Terms, *, order: Annotated[Scalar, Hyper((1.0, 4.0), low=1.0, high=10.0)] = 2.0
) -> Tensor:
    """Minus the chi upper bound, the log-mean of w^n over n: [S, B] nats.

    The encoder descends the bound, as in the paper, whose model is fixed; the decoder ascends it,
    with the same weights. An upper bound as K grows: at finite K the log makes it too low, at K = 1
    down to the ELBO, and the more so the more narrow q is. So the encoder must not descend the
    estimate, which it would by making all weights small: its gradient is the doubly reparameterised
    one of the bound, (n - 1) weights on the path through z, which is right as K grows. (The paper
    descends exp(n CUBO), without bias, on a scale of its own for every example.)
    """
    log_w = t.log_w_path.detach()
    weights = torch.softmax(torch.as_tensor(order) * log_w, 0)
    bound = densities.log_power_mean(log_w, order)
    return -estimator(t, bound, decoder=weights, path=(order - 1.0) * weights)


@objective(
    source="Masrani et al. 2019, the left Riemann sum, log-spaced as in its code",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo_mc", at={"partitions": 1}), ELBO_OF_ONE_SAMPLE),
    no_looser_than=("elbo", "elbo_mc"),
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\sum_{t=0}^{T-1} \left( \beta_{t+1} - \beta_t \right) "
        r"\frac{\sum_{k} w_k^{\beta_t} \log w_k}{\sum_{k} w_k^{\beta_t}}, \qquad "
        r"\beta_0 = 0, \; \beta_T = 1, \; \beta_t = \beta_1^{(T - t) / (T - 1)}, "
        r"\; T = \text{partitions}",
        wrong_when="With few samples: each expectation is self-normalised over K, so it "
        "never passes `iwae` of the same samples. Where beta_1 is best depends "
        "on the data.",
    ),
)
def tvo(
    t: Terms,
    *,
    partitions: Annotated[int, Hyper(low=1)] = 4,
    beta_1: Annotated[Scalar, Hyper((0.01, 0.5), log=True, low=1e-6, high=0.999)] = 0.1,
) -> Tensor:
    """Minus the left Riemann sum of E[log w] along the path q^(1-b) p^b, from b = 0: [S, B] nats.

    Each expectation is self-normalised over the K samples, so that the sum lies between the ELBO
    and IWAE of the same samples. The gradient is that of this estimate, through z; the paper's is
    a covariance that needs no reparameterisation.
    """
    first = torch.as_tensor(beta_1, dtype=t.log_w.dtype, device=t.log_w.device)
    inner = [first ** ((partitions - i) / (partitions - 1)) for i in range(1, partitions)]
    points = [torch.zeros_like(first), *inner, torch.ones_like(first)]
    total = torch.zeros_like(t.distortion)
    for left, right in itertools.pairwise(points):
        expected = (torch.softmax(left * t.log_w, 0) * t.log_w).sum(0)
        total = total + (right - left) * expected
    return -total
