"""p(z): a log-density, how to draw from it, and its KL from a posterior where a formula exists.

A prior is a function of codes z [K, S, B, D] that returns log p(z) [K, S, B] in nats. Its
keyword-only parameters are scalar hyperparameters (a float or an [S, 1] tensor) or, where `learned`
names them, tensors [S, ...] that are trained with the model. A module in this folder registers by
being here.
"""

from vaebench.core.registry import discover
from vaebench.models.priors.entry import PRIORS, BoundPrior, Prior, PriorShape, prior

discover(__name__, __path__)

STANDARD_NORMAL = BoundPrior(PRIORS["standard_normal"], {})

__all__ = ["PRIORS", "STANDARD_NORMAL", "BoundPrior", "Prior", "PriorShape", "prior"]
