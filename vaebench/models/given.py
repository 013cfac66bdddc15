"""q(z|x) and p(z) that are given as torch.distributions objects or as tensors, of one run.

Shapes: codes [K, B, D] of K samples, parameters [B, D]; an axis of one run is put in.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution as TorchDistribution
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from vaebench.core.errors import InputError
from vaebench.models.posteriors import Distribution, Draw, Drawing, Latent
from vaebench.models.posteriors.gaussian import DiagonalGaussian, FullGaussian
from vaebench.models.priors import STANDARD_NORMAL, BoundPrior, Prior
from vaebench.ops.noise import Noise

GivenPosterior = TorchDistribution | tuple[Tensor, Tensor] | Tensor
"""A distribution over codes, (mu, log_var) [B, D] each, or log q(z|x) of the samples [K, B]."""
GivenPrior = TorchDistribution | Tensor | str
"""A distribution over codes, log p(z) of the samples [K, B], or "standard_normal"."""
NEEDS_PARAMETERS = (
    "give q itself, as torch.distributions.Normal or (mu, log_var), or choose an objective that "
    "needs log q(z|x) alone, as elbo_mc or iwae"
)


@dataclass(frozen=True)
class OfTorch:
    """A distribution of torch.distributions over codes [D], one for each of B examples."""

    q: TorchDistribution

    def draw(self, drawing: Drawing) -> Draw:
        """K samples, by torch's own generator."""
        return Draw(self.q.rsample(torch.Size([drawing.num_samples]))[:, None])

    def log_prob(self, z: Tensor) -> Tensor:
        return self.q.log_prob(z[:, 0])[:, None]

    def stopped(self) -> OfTorch:
        return OfTorch(_detached(self.q))

    @property
    def num_examples(self) -> int:
        return self.q.batch_shape[0]

    @property
    def mean(self) -> Tensor:
        return self.q.mean[None]

    @property
    def log_var(self) -> Tensor:
        return self.q.variance.log()[None]


@dataclass(frozen=True)
class KnownAtSamples:
    """Log q(z|x) of the samples [K, B], from parameters that are not known."""

    log_q: Tensor

    def draw(self, drawing: Drawing) -> Draw:
        self._refuse("further samples")

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_q[:, None]

    def stopped(self) -> KnownAtSamples:
        self._refuse("log q(z|x) with the gradients of q's parameters stopped")

    @property
    def num_examples(self) -> int:
        return self.log_q.shape[1]

    @property
    def mean(self) -> Tensor:
        self._refuse("the mean of q(z|x)")

    @property
    def log_var(self) -> Tensor:
        self._refuse("the variance of q(z|x)")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"{what} needs a q with parameters; got its log-densities alone: {NEEDS_PARAMETERS}"
        )


def posterior_of(q: GivenPosterior, num_samples: int, num_rows: int, dim: int) -> Distribution:
    """q(z|x) of one run, for codes [K, B, D]. Raises InputError for another shape or kind."""
    if isinstance(q, Tensor):
        _check_shape("q, where it is log q(z|x) of the samples,", q, (num_samples, num_rows))
        return KnownAtSamples(q)
    if isinstance(q, tuple | list) and len(q) == 2 and all(isinstance(t, Tensor) for t in q):
        for name, values in zip(("mu", "log_var"), q, strict=True):
            _check_shape(f"{name} of q", values, (num_rows, dim))
        return DiagonalGaussian(q[0][None], q[1][None])
    if not isinstance(q, TorchDistribution):
        raise InputError(
            f"q must be a torch.distributions object over codes, (mu, log_var), or log q(z|x) of "
            f"the samples; got {type(q).__name__}"
        )
    q = _over_codes(q)
    if (q.batch_shape, q.event_shape) != ((num_rows,), (dim,)):
        raise InputError(
            f"q must be {num_rows} distributions over codes of {dim} numbers, one for each "
            f"example; got batch_shape {tuple(q.batch_shape)} and event_shape "
            f"{tuple(q.event_shape)}: draw K samples by q.rsample((K,)) of one q, not of K copies"
        )
    match q:
        case Independent(base_dist=Normal()):
            return DiagonalGaussian(q.base_dist.loc[None], 2.0 * q.base_dist.scale.log()[None])
        case MultivariateNormal():
            return FullGaussian(q.loc[None], q.scale_tril[None])
    return OfTorch(q)


def prior_of(prior: GivenPrior, q: Distribution, z: Tensor) -> BoundPrior:
    """p(z) of one run, beside its q(z|x) and codes [K, B, D]. Raises InputError likewise."""
    if isinstance(prior, Tensor):
        _check_shape("prior, where it is log p(z) of the samples,", prior, tuple(z.shape[:2]))
        log_pz = prior[:, None]
        return BoundPrior(Prior("of its log-densities", lambda z: log_pz, "given", _no_sample), {})
    if isinstance(prior, str):
        if prior != "standard_normal":
            raise InputError(
                f"prior {prior!r} has parameters, which a name does not give: give a "
                f"torch.distributions object over z, or 'standard_normal'"
            )
        if not isinstance(q, OfTorch):
            return STANDARD_NORMAL
        prior = Normal(torch.zeros_like(z[0, 0]), torch.ones_like(z[0, 0]))
    if not isinstance(prior, TorchDistribution):
        raise InputError(
            f"prior must be a torch.distributions object over codes, log p(z) of the samples, or "
            f"'standard_normal'; got {type(prior).__name__}"
        )
    prior = _over_codes(prior, z.shape[-1])
    if prior.event_shape != z.shape[-1:] or prior.batch_shape not in ((), (1,), z.shape[1:2]):
        raise InputError(
            f"prior must be over codes of {z.shape[-1]} numbers, one for all {z.shape[1]} examples "
            f"or one for each; got batch_shape {tuple(prior.batch_shape)} and event_shape "
            f"{tuple(prior.event_shape)}"
        )
    return _bound(prior)


def _bound(prior: TorchDistribution) -> BoundPrior:
    def log_prob(z: Tensor) -> Tensor:
        return prior.log_prob(z[:, 0])[:, None]

    def sample(noise: Noise, num_rows: int, latent: Latent) -> Tensor:
        if prior.batch_shape:
            return prior.sample()[None]
        return prior.sample(torch.Size([num_rows]))[None]

    def kl(q: Distribution) -> Tensor | None:
        return _divergence(_as_torch(q), prior)

    def kl_per_dimension(q: Distribution) -> Tensor | None:
        match _as_torch(q), prior:
            case Independent(base_dist=of_q), Independent(base_dist=of_p):
                return _divergence(of_q, of_p)
        return None

    entry = Prior(type(prior).__name__, log_prob, "given", sample, kl, kl_per_dimension)
    return BoundPrior(entry, {})


def _no_sample(noise: Noise, num_rows: int, latent: Latent) -> Tensor:
    raise InputError(
        "draws of the prior need a prior to draw from; got its log-densities alone: give a "
        "torch.distributions object over z"
    )


def _as_torch(q: Distribution) -> TorchDistribution | None:
    match q:
        case OfTorch():
            return q.q
        case DiagonalGaussian(mu, log_var):
            return Independent(Normal(mu[0], (0.5 * log_var[0]).exp()), 1)
        case FullGaussian(mu, cholesky):
            return MultivariateNormal(mu[0], scale_tril=cholesky[0])
    return None


def _divergence(q: TorchDistribution | None, p: TorchDistribution) -> Tensor | None:
    """KL[q || p] with an axis of one run, or None where torch has no formula."""
    if q is None:
        return None
    try:
        return kl_divergence(q, p)[None]
    except NotImplementedError:
        return None


def _over_codes(distribution: TorchDistribution, dim: int | None = None) -> TorchDistribution:
    """The distribution over whole codes, where it is one over each of their numbers.

    `dim`: a distribution of no shape is one over each of so many numbers.
    """
    if distribution.event_shape:
        return distribution
    if not distribution.batch_shape and dim is not None:
        distribution = distribution.expand(torch.Size([dim]))
    if not distribution.batch_shape:
        return distribution
    return Independent(distribution, 1)


AnyDistribution = TypeVar("AnyDistribution", bound=TorchDistribution)


def _detached(distribution: AnyDistribution) -> AnyDistribution:
    """The same distribution, its parameters without gradient.

    Raises InputError for one that keeps parameters in anything but tensors, as transforms.
    """
    stopped = copy.copy(distribution)
    for name, value in vars(distribution).items():
        match value:
            case Tensor():
                vars(stopped)[name] = value.detach()
            case TorchDistribution():
                vars(stopped)[name] = _detached(value)
            case None | bool() | int() | float() | str() | torch.Size():
                pass
            case _:
                raise InputError(
                    f"log q(z|x) with q's parameters stopped is known of distributions whose "
                    f"parameters are tensors; {type(distribution).__name__} keeps {name} as "
                    f"{type(value).__name__}: {NEEDS_PARAMETERS}"
                )
    return stopped


def _check_shape(what: str, values: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(values.shape) != shape:
        raise InputError(f"{what} must have shape {shape}; got {tuple(values.shape)}")
