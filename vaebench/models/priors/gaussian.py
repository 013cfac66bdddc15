"""p(z): a log-density, how to draw from it, and its KL from a posterior where a formula exists.

A prior is a function of codes z [K, S, B, D] that returns log p(z) [K, S, B] in nats. Its
keyword-only parameters are scalar hyperparameters (a float or an [S, 1] tensor) or, where `learned`
names them, tensors [S, ...] that are trained with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.errors import InputError, near_match
from vaebench.core.hyper import Hyper, hyperparameters
from vaebench.core.registry import Registry, name_of
from vaebench.core.sources import remember
from vaebench.core.user_code import call
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.posteriors.categorical import Categorical
from vaebench.models.posteriors.gaussian import DiagonalGaussian, FullGaussian
from vaebench.ops import densities
from vaebench.ops.noise import Noise, gumbels, normals


@dataclass(frozen=True)
class PriorShape:
    """What the trained tensors of a prior are sized by."""

    latent: Latent
    num_pixels: int
    num_components: int


Encode = Callable[[Tensor], Distribution]
"""Images [S, B, P] -> q(z|x), with the encoder's gradient."""


def _as_they_are(encode: Encode, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return parameters


def _no_formula(q: Distribution, **parameters: Any) -> None:
    return None


@dataclass(frozen=True)
class Prior:
    """One entry of the registry."""

    name: str
    log_prob: Callable[..., Tensor]
    """(z [K, S, B, D], **parameters) -> [K, S, B]."""
    source: str
    sample: Callable[..., Tensor]
    """(noise, number of rows n, sizes, **parameters) -> [S, n, D]."""
    kl: Callable[..., Tensor | None] = _no_formula
    """(q, **parameters) -> KL[q(z|x) || p(z)] [S, B], or None for a q it has no formula for."""
    kl_per_dimension: Callable[..., Tensor | None] = _no_formula
    """The same, split over dimensions that q and p take independently: [S, B, D], or None."""
    learned: Mapping[str, Callable[[Noise, PriorShape], Tensor]] = field(default_factory=dict)
    """Initial values [S, ...] of what is trained with the model."""
    prepare: Callable[[Encode, Mapping[str, Tensor]], Mapping[str, Any]] = _as_they_are
    """(encode, learned) -> the tensors of one step, for a prior that the encoder makes."""
    prepared: tuple[str, ...] = ()
    """Parameters that `prepare` makes, where these are others than the learned ones."""
    discrete: bool = False
    """Over one-hot codes; otherwise over real ones."""
    unit_inputs: bool = False
    """Made of the posteriors of images in [0, 1], so for data in that range alone."""

    @property
    def hyper(self) -> dict[str, Hyper]:
        """What the user may set: parameters of the log-density that the model does not supply."""
        declared = hyperparameters(self.log_prob)
        return {n: declared[n] for n in declared if n not in (*self.learned, *self.prepared)}


@dataclass(frozen=True)
class BoundPrior:
    """A prior with the parameters of one step."""

    entry: Prior
    parameters: Mapping[str, Any]

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z): [K, S, B, D] -> [K, S, B]."""
        return call(self.entry.log_prob, z, **self.parameters)

    def sample(self, noise: Noise, num_rows: int, latent: Latent) -> Tensor:
        """Codes: [S, n, D]."""
        return call(self.entry.sample, noise, num_rows, latent, **self.parameters)

    def kl(self, q: Distribution) -> Tensor | None:
        """KL[q(z|x) || p(z)] [S, B], or None where no formula exists."""
        return call(self.entry.kl, q, **self.parameters)

    def kl_per_dimension(self, q: Distribution) -> Tensor | None:
        """The KL of each dimension [S, B, D], or None."""
        return call(self.entry.kl_per_dimension, q, **self.parameters)


PRIORS: Registry[Prior] = Registry("prior")


def prior(
    *, source: str, sample: Callable[..., Tensor], **facts: Any
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the decorated log-density under its own name; `facts` are the fields of Prior.

    Raises InputError where a learned parameter is not one of the function's.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        name = name_of(function)
        entry = Prior(name, function, source=source, sample=sample, **facts)
        declared = hyperparameters(function)
        for given in entry.prepared or entry.learned:
            if given not in declared:
                raise InputError(
                    f"prior {name!r} learns {given!r}, which must be a keyword-only parameter of "
                    f"its function; {near_match(given, declared)}"
                )
        PRIORS.add(name, entry)
        remember(function.__module__)
        return function

    return register


# ------------------------------------------------------------------ N(0, I)


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
)
def standard_normal(z: Tensor) -> Tensor:
    """N(0, I)."""
    return densities.standard_normal_log_prob(z)


# ------------------------------------------------------------------ mixtures of Gaussians


def _spread_means(noise: Noise, shape: PriorShape) -> Tensor:
    return normals(noise, 1, shape.num_components, shape.latent.dim)[0]


def _unit_log_vars(noise: Noise, shape: PriorShape) -> Tensor:
    return torch.zeros(len(noise.keys), shape.num_components, shape.latent.dim)


def _even_scores(noise: Noise, shape: PriorShape) -> Tensor:
    return torch.zeros(len(noise.keys), 1, shape.num_components)


def _sample_mixture(
    noise: Noise, num_rows: int, latent: Latent, *, mu: Tensor, log_var: Tensor, scores: Tensor
) -> Tensor:
    """A component by its weight, then a point of it: [S, n, D]. Other counters for each draw."""
    g = gumbels(noise.at(sample=noise.first_sample + 1), 1, num_rows, mu.shape[1])[0].to(mu)
    chosen = (scores + g).argmax(-1)[..., None].expand(-1, -1, latent.dim)
    eps = normals(noise, 1, num_rows, latent.dim)[0].to(mu)
    return densities.reparameterise(mu.gather(1, chosen), log_var.gather(1, chosen), eps)


@prior(
    source="Tomczak & Welling 2018, section 3, the MoG prior, with trained weights",
    sample=_sample_mixture,
    learned={"mu": _spread_means, "log_var": _unit_log_vars, "scores": _even_scores},
)
def mixture_of_gaussians(z: Tensor, *, mu: Tensor, log_var: Tensor, scores: Tensor) -> Tensor:
    """A mixture of C diagonal Gaussians, trained with the model. Its KL has no closed form."""
    return densities.gaussian_mixture_log_prob(z, torch.log_softmax(scores, -1), mu, log_var)


def _pseudo_inputs(noise: Noise, shape: PriorShape) -> Tensor:
    return normals(noise, 1, shape.num_components, shape.num_pixels)[0]


def _encoded(encode: Encode, learned: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """The posteriors of the pseudo-inputs, which the encoder gives as those of any images."""
    return {"components": encode(torch.sigmoid(learned["pseudo_inputs"]))}


def _sample_vamp(
    noise: Noise, num_rows: int, latent: Latent, *, components: Distribution
) -> Tensor:
    """A code of each component for every row, of which one is taken: [S, n, D]."""
    z = components.draw(noise, num_rows, densities, relaxed=False).z  # [n, S, C, D]
    scores = gumbels(noise.at(step=noise.step + 1), 1, num_rows, z.shape[2])[0].to(z)
    chosen = scores.argmax(-1).T[..., None, None].expand(-1, -1, 1, z.shape[-1])
    return z.gather(2, chosen)[:, :, 0].transpose(0, 1)


@prior(
    source="Tomczak & Welling 2018, section 3, with trained inputs in [0, 1] and even weights",
    sample=_sample_vamp,
    learned={"pseudo_inputs": _pseudo_inputs},
    prepare=_encoded,
    prepared=("components",),
    unit_inputs=True,
)
def vamp(z: Tensor, *, components: Distribution) -> Tensor:
    """The mixture of the posteriors of C trained pseudo-inputs. Its KL has no closed form."""
    every_row = z.transpose(1, 2).flatten(0, 1)[:, :, None]  # [K B, S, 1, D], beside [S, C, D]
    log_q = components.log_prob(every_row.expand(-1, -1, components.num_examples, -1))
    mixed = densities.log_mean_exp(log_q, -1)  # [K B, S]
    return mixed.unflatten(0, (z.shape[0], z.shape[2])).transpose(1, 2)


# ------------------------------------------------------------------ discrete codes


def _code_scores(noise: Noise, shape: PriorShape) -> Tensor:
    return torch.zeros(len(noise.keys), shape.latent.dim, shape.latent.num_classes)


def _sample_codes(
    noise: Noise, num_rows: int, latent: Latent, *, scores: Tensor | None = None
) -> Tensor:
    """One-hot codes [S, n, D C] by scores [S, D, C], or even ones."""
    g = gumbels(noise, 1, num_rows, latent.dim * latent.num_classes)[0]
    g = g.unflatten(-1, (latent.dim, latent.num_classes))
    drawn = g if scores is None else g.to(scores) + scores[:, None]
    return F.one_hot(drawn.argmax(-1), latent.num_classes).to(drawn).flatten(-2)


def _codes_kl_per_variable(q: Distribution, scores: Tensor | None = None) -> Tensor | None:
    """KL[q || p] of every variable [S, B, D]: p of scores [S, D, C], or even."""
    match q:
        case Categorical(log_probs):
            even = torch.zeros_like(log_probs[:, :1])
            log_p = torch.log_softmax(even if scores is None else scores[:, None], -1)
            return densities.categorical_kl(log_probs, log_p)
    return None


def _codes_kl(q: Distribution, scores: Tensor | None = None) -> Tensor | None:
    parts = _codes_kl_per_variable(q, scores)
    return None if parts is None else parts.sum(-1)


@prior(
    source="Jang et al. 2017, section 4.2",
    sample=_sample_codes,
    kl=_codes_kl,
    kl_per_dimension=_codes_kl_per_variable,
    discrete=True,
)
def uniform_categorical(z: Tensor) -> Tensor:
    """Every value of every variable alike: -D log C, of codes that hold D ones in D C places."""
    num_variables = z.sum(-1)
    return -num_variables * torch.log(z.shape[-1] / num_variables)


@prior(
    source="Jang et al. 2017, section 4.2, trained as in its last version",
    sample=_sample_codes,
    kl=_codes_kl,
    kl_per_dimension=_codes_kl_per_variable,
    learned={"scores": _code_scores},
    discrete=True,
)
def learned_categorical(z: Tensor, *, scores: Tensor) -> Tensor:
    """Independent variables, the probabilities of their values trained with the model."""
    log_p = torch.log_softmax(scores, -1).flatten(1)[:, None]  # [S, 1, D C]
    return (z * log_p).sum(-1)


STANDARD_NORMAL = BoundPrior(PRIORS["standard_normal"], {})
