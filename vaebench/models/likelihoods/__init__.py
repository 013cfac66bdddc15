"""p(x|z): one function per likelihood, always with its normalising constants and its support.

A module in this folder registers by being here.
"""

from vaebench.core.registry import discover
from vaebench.models.likelihoods.entry import LIKELIHOODS, Likelihood, Measure, likelihood
from vaebench.models.likelihoods.supports import (
    BINARY,
    COUNTS,
    EIGHT_BIT,
    OPEN_UNIT,
    REAL,
    UNIT,
    Support,
)

discover(__name__, __path__)

__all__ = [
    "BINARY",
    "COUNTS",
    "EIGHT_BIT",
    "LIKELIHOODS",
    "OPEN_UNIT",
    "REAL",
    "UNIT",
    "Likelihood",
    "Measure",
    "Support",
    "likelihood",
]
