"""Fused versions of `densities`: the same names and signatures, chosen by the argument's device.

CPU tensors and float64 take the plain PyTorch reference, by definition of the namespace; CUDA and
ROCm tensors take the Triton kernel, and say so by failing where Triton is missing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench import densities
from vaebench.noise import Noise


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """As densities.reparameterise_kl, in one pass over memory where a kernel can run.

    The kernel computes in float32 whatever the dtype of mu, and returns the KL in it.
    """
    if not mu.is_cuda or mu.dtype == torch.float64:
        return densities.reparameterise_kl(mu, log_var, noise, num_samples)
    from vaebench.kernels import reparam_kl  # imports triton, which CPU machines may lack

    return reparam_kl.reparameterise_kl(mu, log_var, noise, num_samples)
