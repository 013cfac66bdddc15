"""Paths of their own for a CPU in float32, in C: one pass over memory each way.

For where `native` has a library; `cpu` has what stands in elsewhere. Shapes as in `densities`.
Differentiable once.
"""

from __future__ import annotations

from vaebench.kernels.cpu_native_latent import (
    reparameterise_kl,
    reparameterise_kl_per_dimension,
    reparameterise_log_probs,
)
from vaebench.kernels.cpu_native_likelihood import bernoulli_log_prob, gaussian_log_prob
from vaebench.kernels.cpu_native_weights import importance_weights

__all__ = [
    "bernoulli_log_prob",
    "gaussian_log_prob",
    "importance_weights",
    "reparameterise_kl",
    "reparameterise_kl_per_dimension",
    "reparameterise_log_probs",
]
