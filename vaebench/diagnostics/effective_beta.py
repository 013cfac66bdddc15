"""From a loss as other code writes it to this suite's beta and sigma, and back.

Elsewhere: c * ||x - x_hat||^2 + w * KL for an example, the squares summed over the P pixels.
Here: ||x - x_hat||^2 / (2 sigma^2) + beta * KL + a constant. The two have the same minima where
beta = w / (2 sigma^2 c), for any sigma; at sigma = 1 / sqrt(2c) they are equal, and beta = w.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Literal

from vaebench.core.errors import InputError

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class ForeignLoss:
    """Another code's loss, scale * reconstruction + kl_weight * KL, all but its kl_weight.

    Both terms are averaged, or both summed, over the batch. A loss that averages the one and sums
    the other over B examples has B times the weight on the KL.
    """

    loss: Literal["mse", "bce"] = "mse"
    """Squared error, or binary cross entropy: the Bernoulli likelihood, which has no sigma."""
    scale: float = 1.0
    reduction: Reduction = "sum"
    """How the reconstruction is reduced over the P pixels."""
    kl_reduction: Reduction = "sum"
    """How the KL is reduced over the D latent dimensions."""
    pixels: int | None = None
    latent_dim: int | None = None
    white: float = 1.0
    """The value of a white pixel in the other code; in this suite it is 1."""

    def __post_init__(self) -> None:
        _check("scale", self.scale)
        _check("range", self.white)
        if self.loss == "bce" and self.white != 1.0:
            raise InputError(
                f"bce needs images in [0, 1]; got range {self.white:g}: divide the images by it"
            )
        _check_count("--pixels or --image-size", self.reduction, self.pixels)
        _check_count("--latent-dim", self.kl_reduction, self.latent_dim)

    @property
    def reconstruction_factor(self) -> float:
        """c: the factor on the summed squared error of intensities in [0, 1], or cross entropy."""
        squared = self.white**2 if self.loss == "mse" else 1.0
        return self.scale * squared / _divisor(self.reduction, self.pixels)

    @property
    def kl_factor(self) -> float:
        """The factor on the KL summed over dimensions, where kl_weight is 1."""
        return 1.0 / _divisor(self.kl_reduction, self.latent_dim)

    @property
    def sigma(self) -> float | None:
        """The sigma of the Gaussian that the squared error is the negative log of; None for bce."""
        return None if self.loss == "bce" else 1.0 / math.sqrt(2.0 * self.reconstruction_factor)


@dataclass(frozen=True)
class Translation:
    """One loss in both notations: the other code's = factor * this suite's + a constant."""

    kl_weight: float
    """The weight on the KL in the other code."""
    beta: float
    sigma: float | None
    """The sigma of this suite, for intensities in [0, 1]; None for the Bernoulli likelihood."""
    factor: float
    """The other loss over this suite's. Plain gradient descent needs the other code's learning rate
    times this; Adam needs the same rate."""

    def as_row(self) -> dict[str, float | None]:
        """The fields by name, for tables and JSON."""
        return dataclasses.asdict(self)


def translate(
    foreign: ForeignLoss,
    *,
    kl_weight: float | None = None,
    beta: float | None = None,
    sigma: float | None = None,
) -> Translation:
    """The beta of a kl_weight (by default 1), or the kl_weight of a beta.

    `sigma`: that of this suite's Gaussian; by default the one that makes the factor 1. Raises
    InputError.
    """
    if kl_weight is not None and beta is not None:
        raise InputError("a kl-weight and a beta were given: leave out the one to be found")
    factor = _factor(foreign, sigma)
    here = foreign.sigma if sigma is None else sigma
    if beta is None:
        weight = 1.0 if kl_weight is None else _check("kl-weight", kl_weight, zero=True)
        return Translation(weight, weight * foreign.kl_factor / factor, here, factor)
    weight = factor * _check("beta", beta, zero=True) / foreign.kl_factor
    return Translation(weight, beta, here, factor)


def num_pixels(pixels: int | None, image_size: str | None) -> int | None:
    """P, the number of pixels, from a count or a size as "3x64x64".

    Raises InputError where both are given.
    """
    if image_size is None:
        return pixels
    if pixels is not None:
        raise InputError("--pixels and --image-size say the same: give one of them")
    if not re.fullmatch(r"\d+(x\d+)*", image_size):
        raise InputError(f"--image-size must be like 3x64x64; got {image_size!r}")
    return math.prod(int(length) for length in image_size.split("x"))


def _factor(foreign: ForeignLoss, sigma: float | None) -> float:
    """The other code's loss over this suite's."""
    if foreign.loss == "bce":
        if sigma is not None:
            raise InputError("bce has no sigma: leave out --sigma, or choose --loss mse")
        return foreign.reconstruction_factor
    if sigma is None:
        return 1.0
    return 2.0 * _check("sigma", sigma) ** 2 * foreign.reconstruction_factor


def _divisor(reduction: Reduction, count: int | None) -> int:
    return count if reduction == "mean" and count else 1


def _check(name: str, value: float, *, zero: bool = False) -> float:
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        least = "at least" if zero else "above"
        raise InputError(f"{name} must be finite and {least} 0; got {value:g}")
    return value


def _check_count(option: str, reduction: Reduction, count: int | None) -> None:
    if count is None and reduction == "mean":
        raise InputError(f"a mean depends on how many values it is over: give {option}")
    if count is not None and count < 1:
        raise InputError(f"{option} must be at least 1; got {count}")
