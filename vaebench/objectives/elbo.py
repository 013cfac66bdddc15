"""The evidence lower bound, its KL in closed form or sampled in three ways."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.models.terms import Terms
from vaebench.objectives.entry import Case, GradientOf, SameAs, objective


@objective(
    source="Kingma & Welling 2014, eq. 7",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo_mc", exact=False),),
    case_of=Case("beta_elbo", at={"beta": 1.0}),
    no_looser_than=("beta_elbo",),
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \mathcal{R}",
        wrong_when="Loose by KL[q(z|x) || p(z|x)] wherever the encoder or the family of q "
        "cannot give the true posterior, and training then prefers models whose "
        "posterior it can give. A decoder that does well without z may leave the "
        "rate at 0.",
    ),
)
def elbo(t: Terms) -> Tensor:
    """Minus the ELBO with the KL in closed form: [S, B] nats.

    Loose by KL[q(z|x) || p(z|x)], which no number of samples closes.
    """
    return t.distortion + t.rate


@objective(
    source="Kingma & Welling 2014, eq. 6",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo", exact=False),),
    no_looser_than=("beta_elbo",),
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = -\frac{1}{K} \sum_{k=1}^{K} \log w_k",
        wrong_when="Not wrong where `elbo` is right, but noisier: where the KL has a closed "
        "form, take that.",
    ),
)
def elbo_mc(t: Terms) -> Tensor:
    """Minus the ELBO with the KL sampled, log q(z|x) - log p(z) on the same z: [S, B] nats.

    For any posterior and prior. As loose as `elbo`; its encoder gradient is the noisier one, also
    where q is the true posterior.
    """
    return -t.log_w.mean(0)


@objective(
    source="Roeder et al. 2017, the path derivative estimator",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo_mc"),),
    gradient_of={"encoder": GradientOf("elbo_mc")},
    still_at_posterior=True,
    draws="log_qz_x_path",
    needs="log_qz_x_at_any_z",
    about=About(
        formula=r"\mathcal{L} = -\frac{1}{K} \sum_{k=1}^{K} \log w_k, \qquad "
        r"\nabla_{\phi} \mathcal{L} = -\frac{1}{K} \sum_{k=1}^{K} \frac{\partial "
        r"\log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}",
        wrong_when="Early in training, far from the true posterior, its gradient may be the "
        "noisier one.",
    ),
)
def elbo_stl(t: Terms) -> Tensor:
    """Minus the sampled ELBO, sticking the landing: gradient through z alone: [S, B] nats.

    q's own parameters are stopped in log q(z|x): what is left out has expectation 0, and without
    it the encoder's gradient has no variance where q is the true posterior. Far from there its
    variance may be the larger one.
    """
    return -t.log_w_path.mean(0)


@objective(
    source='Schulman 2020, "Approximating KL divergence", estimator k3',
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo", exact=False),),
    draws="log_qz_x",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \frac{1}{K} \sum_{k=1}^{K} \left( r_k - 1 - "
        r"\log r_k \right), \qquad r_k = \frac{p(z_k)}{q(z_k|x)}",
        wrong_when="Where q(z|x) is narrow, as for most trained codes: below half of the "
        "prior's variance r has no variance of its own, and the rate is "
        "understated in most batches.",
    ),
)
def elbo_low_variance(t: Terms) -> Tensor:
    """Minus the ELBO with the KL sampled as (r - 1) - log r, r = p(z) / q(z|x): [S, B] nats.

    Never negative, and of low variance where q is near the prior. r averages to 1 by rare samples
    where q is narrow: with a variance below half the prior's, r has no variance and the estimate
    is low in most batches.
    """
    kl = torch.expm1(t.log_ratio) - t.log_ratio
    return t.distortion + t.weighted_rate(kl.mean(0))
