"""q(z|x): families of distributions over the latent code, made of what the encoder gives."""

from vaebench.models.posteriors import categorical, flows, gaussian
from vaebench.models.posteriors.entry import POSTERIORS, Distribution, Draw, Latent, Posterior

__all__ = [
    "POSTERIORS",
    "Distribution",
    "Draw",
    "Latent",
    "Posterior",
    "categorical",
    "flows",
    "gaussian",
]
