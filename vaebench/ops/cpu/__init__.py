"""Operations in PyTorch for a CPU in float32, with gradients written by hand: where there is no C.

Each pass keeps little and reads it once, where autograd differentiates every step of a formula by
itself. Bernoulli and importance weights are not here: PyTorch's own take one pass each way already,
and only C (`ops.c.fused`) is faster.

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
