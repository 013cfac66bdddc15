"""The standard normal prior, N(0, I)."""

from __future__ import annotations

from torch import Tensor

from vaebench.core.about import About
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.posteriors.gaussian import DiagonalGaussian, FullGaussian
from vaebench.models.priors.entry import prior
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals


def _sample_standard_normal(noise: Noise, num_rows: int, latent: Latent) -> Tensor:
    return normals(noise, 1, num_rows, latent.dim)[0]


def _standard_normal_kl(q: Distribution) -> Tensor | None:
    match q:
        case DiagonalGaussian(mu, log_var):
            return densities.gaussian_kl(mu, log_var)
        case FullGaussian(mu, cholesky):
            return densities.cholesky_gaussian_kl(mu, cholesky)
    return None


def _standard_normal_kl_per_dimension(q: Distribution) -> Tensor | None:
    match q:
        case DiagonalGaussian(mu, log_var):
            return densities.gaussian_kl_per_dimension(mu, log_var)
    return None


@prior(
    source="Kingma & Welling 2014, section 3",
    sample=_sample_standard_normal,
    kl=_standard_normal_kl,
    kl_per_dimension=_standard_normal_kl_per_dimension,
    about=About(
        formula=r"\log p(z) = -\frac{1}{2} \left( |z|^2 + D \log 2\pi \right)",
        wrong_when="Where the aggregate posterior is far from a Gaussian: images drawn from "
        "the prior then come from codes that the decoder never saw (grading "
        "`aggregate` measures how far).",
    ),
)
def standard_normal(z: Tensor) -> Tensor:
    """N(0, I)."""
    return densities.standard_normal_log_prob(z)
