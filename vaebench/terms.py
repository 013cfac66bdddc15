"""Terms: all that an objective may see of one training step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from torch import Tensor

from vaebench import densities, kernels
from vaebench.hyper import Scalar
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.priors import STANDARD_NORMAL


@dataclass(frozen=True)
class Terms:
    """B examples through K posterior samples of S runs; densities in nats.

    `rate_weight` is the warm-up of the training loop: it scales the rate, and within `log_w` the
    two densities of z, so that a schedule on it reaches every objective. Evaluation leaves it at 1.
    """

    mu: Tensor  # [S, B, D] mean of q(z|x)
    log_var: Tensor  # [S, B, D]
    z: Tensor  # [K, S, B, D] samples of q(z|x)
    kl: Tensor  # [S, B] KL[q(z|x) || p(z)] in closed form
    log_px_z: Tensor  # [K, S, B]
    rate_weight: Scalar = 1.0

    @cached_property
    def log_pz(self) -> Tensor:
        """log p(z) of each sample: [K, S, B]."""
        return STANDARD_NORMAL.log_prob(self.z)

    @cached_property
    def log_qz_x(self) -> Tensor:
        """log q(z|x) of each sample: [K, S, B]."""
        return densities.gaussian_log_prob(self.z, self.mu, self.log_var)

    @cached_property
    def distortion(self) -> Tensor:
        """-E_q[log p(x|z)], averaged over the samples: [S, B]."""
        return -self.log_px_z.mean(0)

    @cached_property
    def rate(self) -> Tensor:
        """KL[q(z|x) || p(z)], weighted: [S, B]."""
        return self.rate_weight * self.kl

    @cached_property
    def log_w(self) -> Tensor:
        """Log importance weights log p(x|z) + log p(z) - log q(z|x): [K, S, B]."""
        return self.log_px_z + self.rate_weight * (self.log_pz - self.log_qz_x)


def compute_terms(
    model: VAE,
    x: Tensor,
    noise: Noise,
    *,
    num_samples: int = 1,
    rate_weight: Scalar = 1.0,
    ops: ModuleType = kernels,
) -> Terms:
    """Encode x [S, B, P], draw K samples, decode. `ops`: kernels, or the reference, densities."""
    mu, log_var = model.encode(x)
    z, kl = ops.reparameterise_kl(mu, log_var, noise, num_samples)
    return Terms(mu, log_var, z, kl, model.log_px_z(x, z), rate_weight)
