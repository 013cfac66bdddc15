"""p(x|z): one function per likelihood, always with its normalising constants and its support."""

from vaebench.models.likelihoods import binary, bounded, discrete, real
from vaebench.models.likelihoods.entry import LIKELIHOODS, Likelihood, Measure, likelihood
from vaebench.models.likelihoods.supports import BINARY, EIGHT_BIT, OPEN_UNIT, REAL, UNIT, Support

__all__ = [
    "BINARY",
    "EIGHT_BIT",
    "LIKELIHOODS",
    "OPEN_UNIT",
    "REAL",
    "UNIT",
    "Likelihood",
    "Measure",
    "Support",
    "binary",
    "bounded",
    "discrete",
    "likelihood",
    "real",
]
