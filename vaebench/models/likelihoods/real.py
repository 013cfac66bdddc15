"""Likelihoods of real pixels: Gaussians, which differ in where sigma comes from, Laplace, Student.

Shapes: x [S, B, P], out [K, S, B, P], twice as wide where the scale is an output; [K, S, B].
Sigma and scale are in the units of x. On values from a finite set, such as images of 8 bits, a
density can grow without limit as its scale shrinks: dequantise to compare it with a mass.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About, Limit
from vaebench.core.hyper import Hyper, Scalar
from vaebench.models.likelihoods.entry import likelihood
from vaebench.models.likelihoods.outputs import (
    identity,
    location,
    normals_beside,
    per_run,
    soft_floor,
    uniforms_beside,
)
from vaebench.models.likelihoods.scales import like_scales
from vaebench.models.likelihoods.supports import REAL
from vaebench.ops import densities, gamma_laws
from vaebench.ops.noise import Noise

MIN_SIGMA = 1e-3
MIN_LOG_SIGMA = -6.0
"""exp(-6) = 0.0025 is finer than the 1/255 between two levels of an image of 8 bits."""


def _gaussian_sample(out: Tensor, noise: Noise, *, sigma: Scalar) -> Tensor:
    return out + per_run(sigma, out) * normals_beside(out, noise)


@likelihood(
    source="Kingma & Welling 2014, appendix C.2, with one fixed sigma",
    measure="density",
    support=REAL,
    mean=identity,
    outputs_at=identity,
    sample=_gaussian_sample,
    about=About(
        formula=r"\log p(x|z) = -\sum_{p=1}^{P} \left( \frac{(x_p - m_p)^2}{2 \sigma^2} + "
        r"\log \sigma + \frac{1}{2} \log 2\pi \right)",
        wrong_when="Where sigma is left at what a squared error implies: a bare sum of "
        "squares is sigma^2 = 1/2, mostly far too wide for intensities in [0, "
        "1], and the KL then outweighs the pixels.",
        limits=(Limit("gaussian_learned", "log_sigma is the log of sigma"),),
    ),
)
def gaussian(
    x: Tensor, out: Tensor, *, sigma: Annotated[Scalar, Hyper((0.05, 1.0), log=True, low=1e-6)]
) -> Tensor:
    """N(x; out, sigma^2 I), sigma in the units of x. There is no default: say your sigma."""
    return ops.gaussian_log_prob(x, out, 2.0 * per_run(sigma, out).log())


def _log_sigma_sample(out: Tensor, noise: Noise, *, log_sigma: Scalar) -> Tensor:
    return out + per_run(log_sigma, out).exp() * normals_beside(out, noise)


@likelihood(
    source="Lucas et al. 2019; Rybkin et al. 2021",
    measure="density",
    support=REAL,
    mean=identity,
    outputs_at=identity,
    sample=_log_sigma_sample,
    learned={"log_sigma": -1.0},  # near the spread of intensities in [0, 1]: soon at its best
    about=About(
        formula=r"\log p(x|z) = -\sum_{p=1}^{P} \left( \frac{(x_p - m_p)^2}{2 \sigma^2} + "
        r"\log \sigma + \frac{1}{2} \log 2\pi \right), \qquad \log \sigma \text{ "
        r"trained}",
        wrong_when="Where the noise differs from pixel to pixel. On 8-bit images that are "
        "not dequantised, sigma shrinks and the density grows for reasons of "
        "storage alone.",
    ),
)
def gaussian_learned(x: Tensor, out: Tensor, *, log_sigma: Scalar) -> Tensor:
    """N(x; out, sigma^2 I) with one sigma for all pixels, trained with the decoder."""
    return ops.gaussian_log_prob(x, out, 2.0 * per_run(log_sigma, out))


def optimal_log_sigma(x: Tensor, out: Tensor) -> Tensor:
    """Log of the root mean squared residual over K, B and P: [S, B, P], [K, S, B, P] -> [S, 1].

    No sigma is below 0.001, where also its gradient ends.
    """
    mean_square = (x - out).square().mean(dim=(0, 2, 3))
    return 0.5 * mean_square.clamp(min=MIN_SIGMA**2).log().unsqueeze(-1)


@likelihood(
    source="Rybkin et al. 2021, the optimal sigma-VAE",
    measure="density",
    support=REAL,
    mean=identity,
    outputs_at=identity,
    sample=_log_sigma_sample,
    fitted={"log_sigma": optimal_log_sigma},
    about=About(
        formula=r"\log p(x|z) = -\sum_{p=1}^{P} \left( \frac{(x_p - m_p)^2}{2 \sigma^2} + "
        r"\log \sigma + \frac{1}{2} \log 2\pi \right), \qquad \sigma^2 = "
        r"\frac{1}{K B P} \sum_{k, b, p} \left( x_{bp} - m_{kbp} \right)^2",
        wrong_when="As a density of the batch that sigma was fitted to, which training uses "
        "it as. Evaluation takes a running value of sigma.",
        limits=(
            Limit("gaussian_learned", "log_sigma is the log of the root mean squared residual"),
        ),
    ),
)
def gaussian_optimal(x: Tensor, out: Tensor, *, log_sigma: Scalar) -> Tensor:
    """N(x; out, sigma^2 I) with the one sigma for all pixels that is best for the batch.

    Sigma is a maximum-likelihood fit to the batch that it is used on, and the gradient flows
    through it; with it this is no density of that batch. Evaluation uses the running value.
    """
    return ops.gaussian_log_prob(x, out, 2.0 * per_run(log_sigma, out))


def _per_pixel(out: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log sigma: [K, S, B, 2P] -> [K, S, B, P] twice."""
    mu, raw = out.chunk(2, dim=-1)
    return mu, soft_floor(raw, MIN_LOG_SIGMA)


def _per_pixel_sample(out: Tensor, noise: Noise) -> Tensor:
    mu, log_sigma = _per_pixel(out)
    return mu + log_sigma.exp() * normals_beside(mu, noise)


@likelihood(
    source="Kingma & Welling 2014, appendix C.2; lower limit of Rybkin et al. 2021's code",
    measure="density",
    support=REAL,
    mean=location,
    sample=_per_pixel_sample,
    outputs_per_pixel=2,
    doubt=like_scales,
    about=About(
        formula=r"\log p(x|z) = -\sum_{p=1}^{P} \left( \frac{(x_p - m_p)^2}{2 \sigma_p^2} "
        r"+ \log \sigma_p + \frac{1}{2} \log 2\pi \right)",
        wrong_when="On pixels that never change: their sigma falls to its limit, exp(-6), "
        "and each adds nats that mean nothing.",
        limits=(Limit("gaussian", "all sigmas are alike"),),
    ),
)
def gaussian_per_pixel(x: Tensor, out: Tensor) -> Tensor:
    """N(x; mu, diag(sigma^2)): the decoder gives every pixel's mean and log sigma.

    Log sigma is softly kept above -6: without a limit, pixels that never change drive it to minus
    infinity (Mattei & Frellsen 2018).
    """
    mu, log_sigma = _per_pixel(out)
    return ops.gaussian_log_prob(x, mu, 2.0 * log_sigma)


def _laplace_sample(out: Tensor, noise: Noise, *, scale: Scalar) -> Tensor:
    """The inverse of the distribution function."""
    u = uniforms_beside(out, noise)
    distance = -torch.log(2.0 * torch.minimum(u, 1.0 - u))
    return out + per_run(scale, out) * torch.where(u < 0.5, -distance, distance)


@likelihood(
    source="Laplace's law; the L1 loss is its negative log up to a factor and a constant",
    measure="density",
    support=REAL,
    mean=identity,
    outputs_at=identity,
    sample=_laplace_sample,
    about=About(
        formula=r"\log p(x|z) = -\sum_{p=1}^{P} \left( \frac{|x_p - m_p|}{b} + \log(2 b) "
        r"\right), \qquad b = \text{scale}",
        wrong_when="Where the scale is left at what an L1 loss implies (1): on intensities "
        "in [0, 1] that is far too wide.",
    ),
)
def laplace(
    x: Tensor, out: Tensor, *, scale: Annotated[Scalar, Hyper((0.05, 1.0), log=True, low=1e-6)]
) -> Tensor:
    """Independent Laplace(out, scale): the mean absolute deviation is scale. It has no default."""
    return densities.laplace_log_prob(x, out, per_run(scale, out).log())


def _student_t_sample(out: Tensor, noise: Noise, *, df: Scalar) -> Tensor:
    """The inverse of the distribution function, in float64."""
    from scipy.special import stdtrit

    loc, log_scale = _per_pixel(out)
    u = uniforms_beside(loc, noise).double().cpu().numpy()
    standard = torch.from_numpy(stdtrit(per_run(df, out).double().cpu().numpy(), u))
    return loc + log_scale.exp() * standard.to(out)


@likelihood(
    source="Student's law; Takahashi et al. 2018, Student-t VAE",
    measure="density",
    support=REAL,
    mean=location,
    sample=_student_t_sample,
    outputs_per_pixel=2,
    doubt=like_scales,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( \log \frac{\Gamma(\frac{\nu + "
        r"1}{2})}{\Gamma(\frac{\nu}{2}) \sqrt{\nu \pi} \, s_p} - \frac{\nu + "
        r"1}{2} \log \left( 1 + \frac{(x_p - m_p)^2}{\nu s_p^2} \right) \right), "
        r"\qquad \nu = \text{df}",
        wrong_when="Where there are no outliers: its heavy tails cost likelihood.",
        limits=(Limit("gaussian_per_pixel", "df grows"),),
    ),
)
def student_t(
    x: Tensor, out: Tensor, *, df: Annotated[Scalar, Hyper((2.0, 30.0), log=True, low=1.1)] = 4.0
) -> Tensor:
    """Student's t of every pixel: the decoder gives location and log scale, the latter above -6.

    Its heavy tails let outliers be. df is one for all pixels, above 1 for the mean to exist; as it
    grows, the law is gaussian_per_pixel.
    """
    loc, log_scale = _per_pixel(out)
    return gamma_laws.student_t_log_prob(x, loc, log_scale, per_run(df, out))
