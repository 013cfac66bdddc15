"""Operations of a training step: densities, random numbers, Adam, and fused versions of the first.

`fused` has the names and signatures of `densities`, and chooses a version by the tensors: Triton
kernels on a GPU (gpu/), C or PyTorch on a CPU (c/, cpu/), or the plain formulas.
"""

from __future__ import annotations

from vaebench.ops.dispatch import forget_paths, note, paths
from vaebench.ops.fused import (
    bernoulli_log_prob,
    continuous_bernoulli_log_prob,
    discretised_logistic_log_prob,
    gaussian_log_prob,
    importance_weights,
    reparameterise_kl,
    reparameterise_kl_per_dimension,
    reparameterise_log_probs,
)

OPERATIONS = (
    "reparameterise_kl",
    "reparameterise_kl_per_dimension",
    "reparameterise_log_probs",
    "importance_weights",
    "bernoulli_log_prob",
    "gaussian_log_prob",
    "continuous_bernoulli_log_prob",
    "discretised_logistic_log_prob",
)
__all__ = [
    "OPERATIONS",
    "bernoulli_log_prob",
    "continuous_bernoulli_log_prob",
    "discretised_logistic_log_prob",
    "forget_paths",
    "gaussian_log_prob",
    "importance_weights",
    "note",
    "paths",
    "reparameterise_kl",
    "reparameterise_kl_per_dimension",
    "reparameterise_log_probs",
]
