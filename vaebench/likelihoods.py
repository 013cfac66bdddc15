"""p(x|z): always with its normalising constants, each with its support.

A likelihood is a function of the data x [S, B, P] and the decoder's output [K, S, B, P] that
returns log p(x|z) [K, S, B] in nats. Its keyword-only parameters are hyperparameters, or, where
`learned` names them, trained scalars, one per run; both arrive as a float or an [S, 1] tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from vaebench import densities
from vaebench.errors import InputError
from vaebench.hyper import Hyper, Scalar, hyperparameters
from vaebench.registry import Registry

Measure = Literal["mass", "density"]


@dataclass(frozen=True)
class Support:
    """The values that a likelihood gives a probability to, and how to test for them."""

    description: str
    contains: Callable[[Tensor], bool]


BINARY = Support("x in {0, 1}", lambda x: bool(((x == 0) | (x == 1)).all()))
REAL = Support("x real", lambda x: bool(torch.isfinite(x).all()))


@dataclass(frozen=True)
class Likelihood:
    """One entry of the registry: a density with what is known of it."""

    name: str
    log_prob: Callable[..., Tensor]
    source: str
    measure: Measure
    support: Support
    mean: Callable[[Tensor], Tensor]
    """The mean of p(x|z), from the decoder's output: same shape."""
    learned: Mapping[str, float] = field(default_factory=dict)
    """Initial values of the scalars that are trained with the model."""

    @property
    def hyper(self) -> dict[str, Hyper]:
        """What the user may set: the parameters that are not learned."""
        declared = hyperparameters(self.log_prob)
        return {name: declared[name] for name in declared if name not in self.learned}

    def check_support(self, x: Tensor, described: str) -> None:
        """Raises InputError where x holds values that p(x|z) gives no probability to."""
        if not self.support.contains(x):
            raise InputError(
                f"likelihood {self.name!r} needs {self.support.description}; {described} has "
                f"other values: choose a binarisation (threshold, dynamic) or another likelihood"
            )


LIKELIHOODS: Registry[Likelihood] = Registry("likelihood")


def likelihood(**facts: Any) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the decorated function under its own name, with the fields of Likelihood."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        name = function.__name__
        LIKELIHOODS.add(name, Likelihood(name=name, log_prob=function, **facts))
        return function

    return register


def _identity(out: Tensor) -> Tensor:
    return out


def _log_var(log_sigma: Tensor) -> Tensor:
    """[S, 1], one per run, or a single number -> log sigma^2 that broadcasts with [K, S, B, P]."""
    return (2.0 * log_sigma).unsqueeze(-1)


@likelihood(
    source="Kingma & Welling 2014, appendix C.1",
    measure="mass",
    support=BINARY,
    mean=torch.sigmoid,
)
def bernoulli(x: Tensor, out: Tensor) -> Tensor:
    """Independent pixels in {0, 1}; the decoder gives logits."""
    return densities.bernoulli_log_prob(x, out)


@likelihood(
    source="Kingma & Welling 2014, appendix C.2, with one fixed sigma",
    measure="density",
    support=REAL,
    mean=_identity,
)
def gaussian(
    x: Tensor, out: Tensor, *, sigma: Annotated[Scalar, Hyper((0.05, 1.0), log=True, low=1e-6)]
) -> Tensor:
    """N(x; out, sigma^2 I), sigma in the units of x. There is no default: say your sigma."""
    sigma = torch.as_tensor(sigma, dtype=out.dtype, device=out.device)
    return densities.gaussian_log_prob(x, out, _log_var(sigma.log()))


@likelihood(
    source="Lucas et al. 2019; Rybkin et al. 2021",
    measure="density",
    support=REAL,
    mean=_identity,
    learned={"log_sigma": -1.0},  # near the spread of intensities in [0, 1], so soon where it ends
)
def gaussian_learned(x: Tensor, out: Tensor, *, log_sigma: Scalar) -> Tensor:
    """N(x; out, sigma^2 I) with one sigma for all pixels, trained with the decoder."""
    log_sigma = torch.as_tensor(log_sigma, dtype=out.dtype, device=out.device)
    return densities.gaussian_log_prob(x, out, _log_var(log_sigma))
