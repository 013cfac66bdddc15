"""Importance-weighted bounds."""

from __future__ import annotations

from torch import Tensor

from vaebench import densities
from vaebench.objectives.entry import SameAs, objective
from vaebench.terms import Terms


@objective(
    source="Burda et al. 2016, eq. 8",
    bound="lower",
    tight=True,
    same_as=(SameAs("elbo_mc", num_samples=1),),
    no_looser_than=("elbo", "elbo_mc"),
    tighter_with_samples=True,
)
def iwae(t: Terms) -> Tensor:
    """Minus log (1/K) sum_k w_k: [S, B]. Tightens to log p(x) as K grows."""
    return -densities.log_mean_exp(t.log_w)
