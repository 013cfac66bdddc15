"""Paths of their own for a CPU in float32, in PyTorch: where no C is, for want of it or a compiler.

The gradients are written by hand, so that each pass keeps little and reads it once: autograd takes
every step of a formula back on its own. Bernoulli and importance weights have none: PyTorch's own
take one pass each way already, and only C (`cpu_native`) is faster.

Shapes as in `densities`. Differentiable once.
"""

from __future__ import annotations

from vaebench.ops.cpu.latent import (
    reparameterise_kl,
    reparameterise_kl_per_dimension,
    reparameterise_log_probs,
)
from vaebench.ops.cpu.likelihood import (
    continuous_bernoulli_log_prob,
    discretised_logistic_log_prob,
    gaussian_log_prob,
)

__all__ = [
    "continuous_bernoulli_log_prob",
    "discretised_logistic_log_prob",
    "gaussian_log_prob",
    "reparameterise_kl",
    "reparameterise_kl_per_dimension",
    "reparameterise_log_probs",
]
