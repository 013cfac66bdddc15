"""The Triton kernels, by the names of their references. Importing it needs triton."""

from __future__ import annotations

from vaebench.ops.gpu.importance import importance_weights
from vaebench.ops.gpu.latent_kl import reparameterise_kl, reparameterise_kl_per_dimension
from vaebench.ops.gpu.latent_log_probs import reparameterise_log_probs
from vaebench.ops.gpu.likelihood import (
    bernoulli_log_prob,
    continuous_bernoulli_log_prob,
    discretised_logistic_log_prob,
    gaussian_log_prob,
)

__all__ = [
    "bernoulli_log_prob",
    "continuous_bernoulli_log_prob",
    "discretised_logistic_log_prob",
    "gaussian_log_prob",
    "importance_weights",
    "reparameterise_kl",
    "reparameterise_kl_per_dimension",
    "reparameterise_log_probs",
]

READS_BYTES = True
"""Pixels of uint8 are not widened before."""
