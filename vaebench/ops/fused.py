"""The operations that have fused versions: each call takes the version that fits its tensors.

On a GPU, CUDA or ROCm, float32, bfloat16 and float16 take the Triton kernels, which compute in
float32 and return sums in it. On a CPU float32 takes C, or gradients written by hand. The rest,
float64 above all, takes the plain formulas of `densities`; `dispatch.paths()` says which way was
taken and why.

Pixels may be uint8 here: k of the intensity k / 255, for a Bernoulli law 0 or 1.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vaebench.ops.densities import NUM_LEVELS
from vaebench.ops.dispatch import implementation
from vaebench.ops.eligible import latent_problem, pixel_problem
from vaebench.ops.noise import Noise


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """The same as densities.reparameterise_kl, in one pass over memory where a kernel can run."""
    module = implementation("reparameterise_kl", mu, partial(latent_problem, mu, log_var, noise))
    z, kl = module.reparameterise_kl(mu, log_var, noise, num_samples)
    return z, kl


def reparameterise_kl_per_dimension(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """The same as densities.reparameterise_kl_per_dimension, in one pass."""
    problem = partial(latent_problem, mu, log_var, noise)
    module = implementation("reparameterise_kl_per_dimension", mu, problem)
    z, kl = module.reparameterise_kl_per_dimension(mu, log_var, noise, num_samples)
    return z, kl


def reparameterise_log_probs(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1, *, path: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as densities.reparameterise_log_probs, in one pass."""
    module = implementation(
        "reparameterise_log_probs", mu, partial(latent_problem, mu, log_var, noise)
    )
    z, log_q, log_p = module.reparameterise_log_probs(mu, log_var, noise, num_samples, path=path)
    return z, log_q, log_p


def importance_weights(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same as densities.importance_weights, in one pass."""
    module = implementation("importance_weights", log_w, lambda: _axes_problem(log_w))
    bound, weights, ess = module.importance_weights(log_w)
    return bound, weights, ess


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """The same as densities.bernoulli_log_prob, in one pass."""
    return _likelihood("bernoulli_log_prob", x, logits)


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """The same as densities.gaussian_log_prob, in one pass."""
    return _likelihood("gaussian_log_prob", x, mu, log_var)


def continuous_bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """The same as densities.continuous_bernoulli_log_prob, in one pass."""
    return _likelihood("continuous_bernoulli_log_prob", x, logits)


def discretised_logistic_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """The same as densities.discretised_logistic_log_prob, in one pass."""
    return _likelihood("discretised_logistic_log_prob", x, loc, log_scale)


def _axes_problem(log_w: Tensor) -> str | None:
    """Why no fused version takes these log weights, or None."""
    return None if log_w.ndim == 3 and len(log_w) else f"log weights {tuple(log_w.shape)}"


def _likelihood(name: str, x: Tensor, *parameters: Tensor) -> Tensor:
    """The likelihood of that name; pixels of uint8 are widened where the version reads no bytes."""
    module = implementation(name, parameters[0], partial(pixel_problem, x, *parameters))
    if x.dtype == torch.uint8 and not hasattr(module, "READS_BYTES"):
        unit = 1.0 if name == "bernoulli_log_prob" else 1.0 / (NUM_LEVELS - 1)
        x = x.to(parameters[0].dtype) * unit
    log_prob: Tensor = getattr(module, name)(x, *parameters)
    return log_prob
