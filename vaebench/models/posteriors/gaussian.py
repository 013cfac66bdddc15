"""Gaussian posteriors: independent dimensions, or a full covariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaebench.core.about import About, Limit
from vaebench.models.posteriors.entry import Draw, Drawing, Latent, posterior
from vaebench.ops import densities
from vaebench.ops.noise import normals


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mu, diag(exp(log_var)))."""

    mu: Tensor  # [S, B, D]
    log_var: Tensor  # [S, B, D]

    def draw(self, drawing: Drawing) -> Draw:
        ops, arguments = drawing.ops, (self.mu, self.log_var, drawing.noise, drawing.num_samples)
        if drawing.wanted == "kl":
            z, kl = ops.reparameterise_kl(*arguments)
            return Draw(z, kl_to_standard_normal=kl)
        path = drawing.wanted == "log_qz_x_path"
        z, log_q, log_p = ops.reparameterise_log_probs(*arguments, path=path)
        return Draw(z, None if path else log_q, log_q if path else None, log_p)

    def log_prob(self, z: Tensor) -> Tensor:
        return densities.gaussian_log_prob(z, self.mu, self.log_var)

    def stopped(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.mu.detach(), self.log_var.detach())

    @property
    def num_examples(self) -> int:
        return self.mu.shape[1]

    @property
    def mean(self) -> Tensor:
        return self.mu


@dataclass(frozen=True)
class FullGaussian:
    """N(mu, L L')."""

    mu: Tensor  # [S, B, D]
    cholesky: Tensor  # [S, B, D, D] lower triangular, its diagonal above 0

    def draw(self, drawing: Drawing) -> Draw:
        eps = normals(drawing.noise, drawing.num_samples, *self.mu.shape[-2:]).to(self.mu)
        z = self.mu + (self.cholesky @ eps[..., None])[..., 0]
        return Draw(z, kl_to_standard_normal=densities.cholesky_gaussian_kl(self.mu, self.cholesky))

    def log_prob(self, z: Tensor) -> Tensor:
        return densities.cholesky_gaussian_log_prob(z, self.mu, self.cholesky)

    def stopped(self) -> FullGaussian:
        return FullGaussian(self.mu.detach(), self.cholesky.detach())

    @property
    def num_examples(self) -> int:
        return self.mu.shape[1]

    @property
    def mean(self) -> Tensor:
        return self.mu

    @property
    def log_var(self) -> Tensor:
        return self.cholesky.square().sum(-1).log()


@posterior(
    source="Kingma & Welling 2014, eq. 9",
    num_inputs=lambda latent: 2 * latent.dim,
    closed_form_kl_to=("standard_normal",),
    about=About(
        formula=r"q(z|x) = \prod_{d=1}^{D} \mathcal{N}(z_d; \mu_d, \sigma_d^2), \qquad "
        r"\mathrm{KL} = \frac{1}{2} \sum_{d=1}^{D} \left( \mu_d^2 + \sigma_d^2 - "
        r"1 - \log \sigma_d^2 \right)",
        wrong_when="Where dimensions of the true posterior depend on each other: the ELBO "
        "is then loose, which the grading `gaps` measures as the approximation "
        "gap.",
    ),
)
def diagonal_gaussian(
    numbers: Tensor, latent: Latent, network: nn.Module | None
) -> DiagonalGaussian:
    """Independent dimensions: mu and log_var from the encoder."""
    mu, log_var = numbers.chunk(2, dim=-1)
    return DiagonalGaussian(mu, log_var)


def _num_below(latent: Latent) -> int:
    return latent.dim * (latent.dim - 1) // 2


@posterior(
    source="Kingma & Welling 2019, section 2.5.1",
    num_inputs=lambda latent: 2 * latent.dim + _num_below(latent),
    closed_form_kl_to=("standard_normal",),
    about=About(
        formula=r"q(z|x) = \mathcal{N}(z; \mu, L L^{\top}), \qquad \mathrm{KL} = "
        r"\frac{1}{2} \left( \mathrm{tr}(L L^{\top}) + |\mu|^2 - D \right) - "
        r"\sum_{d=1}^{D} \log L_{dd}",
        wrong_when="For large codes: the encoder gives D (D + 3) / 2 numbers for each example.",
        cost="D (D + 3) / 2 numbers from the encoder, and products with a D x D triangle",
        limits=(Limit("diagonal_gaussian", "the triangle below the diagonal is 0"),),
    ),
)
def full_gaussian(numbers: Tensor, latent: Latent, network: nn.Module | None) -> FullGaussian:
    """Any covariance: mu, log-variances and the triangle below them, scaled row by row."""
    mu, log_var, below = numbers.split([latent.dim, latent.dim, _num_below(latent)], dim=-1)
    rows, columns = torch.tril_indices(latent.dim, latent.dim, -1)
    unit = torch.eye(latent.dim, dtype=mu.dtype, device=mu.device).repeat(*mu.shape[:-1], 1, 1)
    unit[..., rows, columns] = below
    return FullGaussian(mu, torch.exp(0.5 * log_var)[..., None] * unit)
