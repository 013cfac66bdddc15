"""Operations in C for a CPU in float32: one pass over memory each way.

They need a library; where there is none, `ops.cpu` stands in. Shapes as in `densities`.
Differentiable once.
"""

from __future__ import annotations

from vaebench.ops.c.latent import (
    reparameterise_kl,
    reparameterise_kl_per_dimension,
    reparameterise_log_probs,
)
from vaebench.ops.c.likelihood import bernoulli_log_prob, gaussian_log_prob
from vaebench.ops.c.weights import importance_weights

__all__ = [
    "bernoulli_log_prob",
    "gaussian_log_prob",
    "importance_weights",
    "reparameterise_kl",
    "reparameterise_kl_per_dimension",
    "reparameterise_log_probs",
]
