"""p(z): one function for each prior."""

from vaebench.models.priors.gaussian import (
    PRIORS,
    STANDARD_NORMAL,
    BoundPrior,
    Prior,
    PriorShape,
    prior,
)

__all__ = ["PRIORS", "STANDARD_NORMAL", "BoundPrior", "Prior", "PriorShape", "prior"]
