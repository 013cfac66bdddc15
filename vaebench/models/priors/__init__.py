"""p(z): a log-density, how to draw from it, and its KL from a posterior where a formula exists.

A prior is a function of codes z [K, S, B, D] that returns log p(z) [K, S, B] in nats. Its
keyword-only parameters are scalar hyperparameters (a float or an [S, 1] tensor) or, where `learned`
names them, tensors [S, ...] that are trained with the model.
"""

from vaebench.models.priors import discrete, gaussian, mixtures
from vaebench.models.priors.entry import PRIORS, BoundPrior, Prior, PriorShape, prior
from vaebench.models.priors.gaussian import STANDARD_NORMAL

__all__ = [
    "PRIORS",
    "STANDARD_NORMAL",
    "BoundPrior",
    "Prior",
    "PriorShape",
    "discrete",
    "gaussian",
    "mixtures",
    "prior",
]
