"""Small models of every posterior and prior, away from where training starts."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.models import VAE, Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS, Distribution, Latent
from vaebench.models.priors import PRIORS
from vaebench.ops.noise import Noise, key, normals

KEYS = tuple(key(seed, "families") for seed in range(3))
S, B, D, C, P, COMPONENTS = 3, 4, 2, 3, 7, 5


def prior_for(posterior: str) -> str:
    """A prior over the codes of a posterior."""
    discrete = POSTERIORS[posterior].discrete
    return next(name for name, entry in PRIORS.items() if entry.discrete == discrete)


def posterior_for(prior: str) -> str:
    """A posterior over the codes of a prior."""
    discrete = PRIORS[prior].discrete
    return next(name for name, entry in POSTERIORS.items() if entry.discrete == discrete)


def model_of(
    posterior: str, prior: str, *, keys: tuple[int, ...] = KEYS, dim: int = D, far: float = 1.0
) -> VAE:
    """A model in float64; `far`: how much all its parameters are moved from where they start."""
    family = Family(
        LIKELIHOODS["bernoulli"],
        POSTERIORS[posterior],
        PRIORS[prior],
        Latent(dim, C, flow_steps=2),
        COMPONENTS,
    )
    hyper = dict.fromkeys(PRIORS[prior].hyper, 1.5)
    model = build(
        "mlp", family, image_shape=(P,), widths=(6,), noise=Noise(keys), prior_hyper=hyper
    )
    model.double()
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            away = normals(Noise(keys, step=1000 + i), 1, *parameter.shape[1:])[0]
            parameter += far * 0.5 * away
    return model


def images(keys: tuple[int, ...] = KEYS) -> Tensor:
    """[S, B, P], other ones for each key."""
    return normals(Noise(keys, step=1), 1, B, P)[0].double().sigmoid()


def q_of(posterior: str, *, keys: tuple[int, ...] = KEYS, **more: float) -> Distribution:
    """q(z|x) of the images of these keys."""
    return model_of(posterior, prior_for(posterior), keys=keys, **more).posterior(images(keys))


def one_hot_codes(dim: int = D) -> Tensor:
    """Every code of D variables of C values: [C^D, D C], float64."""
    values = torch.cartesian_prod(*[torch.arange(C)] * dim).view(-1, dim)
    return torch.nn.functional.one_hot(values, C).double().flatten(-2)


def within_error(draws: Tensor, expected: Tensor | float) -> bool:
    """Whether the means over axis 0 are the expected ones, to 4.5 standard errors."""
    error = draws.std(0) / len(draws) ** 0.5
    return bool(((draws.mean(0) - expected).abs() <= 4.5 * error + 1e-12).all())


def narrow_normal(z: Tensor) -> torch.distributions.Distribution:
    """A normal law well within the cloud of samples [N, ..., D]."""
    return torch.distributions.Independent(torch.distributions.Normal(z.mean(0), 0.5 * z.std(0)), 1)
