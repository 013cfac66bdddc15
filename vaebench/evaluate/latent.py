"""How much of the latent space is used."""

from __future__ import annotations

from torch import Tensor

ACTIVE = 0.01


def active_units(mu: Tensor) -> Tensor:
    """Dimensions whose posterior mean varies over the data by more than 0.01: [S, N, D] -> [S].

    Burda et al. 2016, section 5.2: Var_x(E_q[z]) > 0.01.
    """
    return (mu.var(dim=1) > ACTIVE).sum(-1)
