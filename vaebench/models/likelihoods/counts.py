"""Likelihoods of counts: probabilities of whole numbers from 0, without an upper end.

Shapes: x [S, B, P], out [K, S, B, n * P], result [K, S, B]. The first of the n outputs of a pixel
is the log of its mean, up to 20, beyond any count that float32 holds exactly; from there on the
mean goes on as a straight line, so that it is finite. Where the library size of an example is taken
as known (`data.library_size`), the mean is so many times as large. The encoder is given log(1 + x).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.core.about import About, Limit
from vaebench.models.likelihoods.entry import likelihood
from vaebench.models.likelihoods.outputs import soft_ceiling, soft_floor, uniforms_beside
from vaebench.models.likelihoods.supports import COUNTS
from vaebench.ops import gamma_laws
from vaebench.ops.noise import Noise

MAX_LOG_MEAN = 20.0
MIN_LOG_SIZE, MAX_LOG_SIZE = -5.0, 20.0
"""Limits of the log size r of a negative binomial, whose variance is m + m^2 / r: below, nearly all
counts are 0; above, it is Poisson's law."""
NORMAL_FROM = 1e8
"""The rate from which on Poisson's law is drawn as a normal one, which float32 cannot tell."""


def library_size(x: Tensor) -> Tensor:
    """The counts of an example per pixel, of at least one count in all: [S, B, P] -> [S, B, 1].

    A model that takes it as known, as those of single cells do, says how counts are shared out: its
    log p(x|z) is not that of a model that has to say how many there are.
    """
    return x.sum(-1, keepdim=True).clamp_min(1.0) / x.shape[-1]


def _log_rate(out: Tensor) -> Tensor:
    """The log of exp(out), continued by its tangent from MAX_LOG_MEAN on."""
    beyond = (out - MAX_LOG_MEAN).clamp_min(0.0)
    return out.clamp_max(MAX_LOG_MEAN) + torch.log1p(beyond)


def _rate(out: Tensor) -> Tensor:
    return _log_rate(out).exp()


def _log_of_mean(mean: Tensor) -> Tensor:
    """The log of means of at least 0.001: columns of zeros get no infinite bias."""
    return mean.clamp_min(0.001).log()


def _poisson_sample(out: Tensor, noise: Noise) -> Tensor:
    """The inverse of the distribution function, in float64."""
    from scipy.stats import poisson as law

    u, rate = uniforms_beside(out, noise).double(), _rate(out.double())
    normal = (rate + rate.sqrt() * torch.special.ndtri(u)).round()
    exact = law.ppf(u.cpu().numpy(), rate.clamp_max(NORMAL_FROM).cpu().numpy())
    return torch.where(rate > NORMAL_FROM, normal, torch.from_numpy(exact).to(normal)).to(out)


@likelihood(
    source="Poisson's law, the log rate by the decoder",
    measure="mass",
    support=COUNTS,
    mean=_rate,
    sample=_poisson_sample,
    encoder_input=torch.log1p,
    log_mean=True,
    outputs_at=_log_of_mean,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( x_p \log m_p - m_p - \log x_p! "
        r"\right), \qquad m_p = e^{o_p}",
        wrong_when="On counts whose variance is above their mean, as most are: the model "
        "then explains noise by z.",
    ),
)
def poisson(x: Tensor, out: Tensor) -> Tensor:
    """Independent counts whose variance is their mean; the decoder gives the log of it."""
    return gamma_laws.poisson_log_prob(x, _log_rate(out))


def _mean_and_size(log_mean: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Log mean and log size, within their limits."""
    return _log_rate(log_mean), soft_ceiling(soft_floor(raw, MIN_LOG_SIZE), MAX_LOG_SIZE)


def _mean(out: Tensor) -> Tensor:
    return _rate(out.chunk(2, dim=-1)[0])


def _size_of_one(mean: Tensor) -> Tensor:
    """The outputs at a mean, and a size near 1: as spread out as an exponential law."""
    return torch.cat([_log_of_mean(mean), torch.zeros_like(mean)])


def _half_inflated(mean: Tensor) -> Tensor:
    """The outputs at a mean, where half of all counts are lost, as a layer's outputs near 0 say."""
    return torch.cat([_size_of_one(2.0 * mean), torch.zeros_like(mean)])


def _quantile(u: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """The count at which a negative binomial has passed u, in float64; 0 for u of 0 and below."""
    from scipy.stats import nbinom

    size, mean = log_size.double().exp(), log_mean.double().exp()
    arrays = (t.cpu().numpy() for t in (u.double(), size, size / (size + mean)))
    return torch.from_numpy(nbinom.ppf(*arrays)).clamp_min(0.0)


def _negative_binomial_sample(out: Tensor, noise: Noise) -> Tensor:
    log_mean, log_size = _mean_and_size(*out.chunk(2, dim=-1))
    return _quantile(uniforms_beside(log_mean, noise), log_mean, log_size).to(out)


@likelihood(
    source="Lopez et al. 2018 (scVI), appendix, with a size for each example and pixel",
    measure="mass",
    support=COUNTS,
    mean=_mean,
    sample=_negative_binomial_sample,
    outputs_per_pixel=2,
    encoder_input=torch.log1p,
    log_mean=True,
    outputs_at=_size_of_one,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \left( \log \frac{\Gamma(x_p + "
        r"r_p)}{\Gamma(r_p) \, x_p!} + r_p \log \frac{r_p}{r_p + m_p} + x_p \log "
        r"\frac{m_p}{r_p + m_p} \right)",
        wrong_when="On counts whose variance is below their mean. Mean and size both from "
        "the decoder can trade against each other where counts are few.",
        limits=(Limit("poisson", "the size r grows, here up to its limit of exp(20)"),),
    ),
)
def negative_binomial(x: Tensor, out: Tensor) -> Tensor:
    """Independent counts of variance m + m^2 / r: the decoder gives the logs of mean m and size r.

    Log r is softly kept within -5 and 20.
    """
    return gamma_laws.negative_binomial_log_prob(x, *_mean_and_size(*out.chunk(2, dim=-1)))


def _inflated_mean(out: Tensor) -> Tensor:
    log_mean, _, logits = out.chunk(3, dim=-1)
    return torch.sigmoid(-logits) * _rate(log_mean)


def _inflated_sample(out: Tensor, noise: Noise) -> Tensor:
    """One uniform variable for both: what of it is beyond the share of further zeros counts."""
    log_mean, raw, logits = out.chunk(3, dim=-1)
    beyond = uniforms_beside(log_mean, noise).double() - torch.sigmoid(logits.double())
    u = (beyond / torch.sigmoid(-logits.double()).clamp_min(1e-300)).clamp(0.0, 1.0 - 2.0**-24)
    return _quantile(u, *_mean_and_size(log_mean, raw)).to(out)


@likelihood(
    source="Lopez et al. 2018 (scVI), eq. 3 and appendix",
    measure="mass",
    support=COUNTS,
    mean=_inflated_mean,
    sample=_inflated_sample,
    outputs_per_pixel=3,
    encoder_input=torch.log1p,
    log_mean=True,
    outputs_at=_half_inflated,
    about=About(
        formula=r"\log p(x|z) = \sum_{p=1}^{P} \log \left( \pi_p [x_p = 0] + (1 - \pi_p) "
        r"\, \mathrm{NB}(x_p; m_p, r_p) \right), \qquad \pi_p = \frac{1}{1 + "
        r"e^{-o_p}}",
        wrong_when="Where the counts have no more zeros than a negative binomial: the share "
        "of lost counts and a small mean are then hard to tell apart.",
        limits=(Limit("negative_binomial", "the share of further zeros goes to 0"),),
    ),
)
def zero_inflated_negative_binomial(x: Tensor, out: Tensor) -> Tensor:
    """Negative binomial counts, of which a share is lost to 0.

    The decoder gives the logs of mean and size, as for negative_binomial, and the logit of the
    share.
    """
    log_mean, raw, logits = out.chunk(3, dim=-1)
    log_mean, log_size = _mean_and_size(log_mean, raw)
    return gamma_laws.zero_inflated_log_prob(x, log_mean, log_size, logits)
