"""q(z|x): families of distributions over the latent code, made from what the encoder gives.

A module in this folder registers by being here.
"""

from vaebench.core.registry import discover
from vaebench.models.posteriors.entry import (
    POSTERIORS,
    Distribution,
    Draw,
    Drawing,
    Latent,
    Posterior,
    posterior,
)

discover(__name__, __path__)

__all__ = ["POSTERIORS", "Distribution", "Draw", "Drawing", "Latent", "Posterior", "posterior"]
