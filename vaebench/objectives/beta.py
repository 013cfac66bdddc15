"""The rate weighted by beta, and the limit without it."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from vaebench.hyper import Hyper, Scalar
from vaebench.objectives.entry import AT_LEAST_ONE, SameAs, objective
from vaebench.terms import Terms


@objective(
    source="Higgins et al. 2017, eq. 4",
    bound="lower",
    bound_for={"beta": AT_LEAST_ONE},
    same_as=(
        SameAs("elbo", at={"beta": 1.0}),
        SameAs("reconstruction_only", at={"beta": 0.0}),
    ),
)
def beta_elbo(
    t: Terms, *, beta: Annotated[Scalar, Hyper((0.1, 10.0), log=True, low=0.0)] = 4.0
) -> Tensor:
    """Distortion plus beta times rate: [S, B]. Bounds log p(x) only for beta >= 1."""
    return t.distortion + beta * t.rate


@objective(
    source='"Bending the ELBO in Variational Autoencoders" (2019), its training loop',
    bound="none",
    same_as=(SameAs("beta_elbo", other_at={"beta": 0.0}),),
    ignores_rate=True,
)
def reconstruction_only(t: Terms) -> Tensor:
    """The distortion alone, no KL: [S, B]. A baseline: what the KL term buys is the difference."""
    return t.distortion
