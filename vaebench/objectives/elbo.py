"""The evidence lower bound, its KL in closed form or sampled."""

from __future__ import annotations

from torch import Tensor

from vaebench.objectives.entry import SameAs, objective
from vaebench.terms import Terms


@objective(
    source="Kingma & Welling 2014, eq. 7",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo_mc", exact=False),),
    no_looser_than=("beta_elbo",),
)
def elbo(t: Terms) -> Tensor:
    """Minus the ELBO with the KL in closed form: [S, B]."""
    return t.distortion + t.rate


@objective(
    source="Kingma & Welling 2014, eq. 6",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo", exact=False),),
    no_looser_than=("beta_elbo",),
)
def elbo_mc(t: Terms) -> Tensor:
    """Minus the ELBO with the KL sampled, log q(z|x) - log p(z) on the same z: [S, B]."""
    return -t.log_w.mean(0)
