"""What a registered prior declares of itself, and the decorator that registers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from vaebench.core.about import NOTHING, About
from vaebench.core.errors import InputError, near_match
from vaebench.core.hyper import Hyper, check_signature, hyperparameters
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.core.user_code import call
from vaebench.models.posteriors import Distribution, Latent
from vaebench.ops.noise import Noise


@dataclass(frozen=True)
class PriorShape:
    """The sizes that the trained tensors of a prior follow from."""

    latent: Latent
    num_pixels: int
    num_components: int


Encode = Callable[[Tensor], Distribution]
"""Images [S, B, P] -> q(z|x), with the encoder's gradient."""


def _unchanged(encode: Encode, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
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
    prepare: Callable[[Encode, Mapping[str, Tensor]], Mapping[str, Any]] = _unchanged
    """(encode, learned) -> the tensors of one step, for a prior that the encoder makes."""
    prepared: tuple[str, ...] = ()
    """Names of the parameters that `prepare` makes, where they differ from the learned ones."""
    log_prob_of_layers: Callable[..., list[Tensor]] | None = None
    """(z, **parameters) -> log p(z_l|z_l+1) [K, S, B] of each layer, for a prior over layers: the
    decoder sees the first, or all where `Latent.layer_skip`, and the functions are given `layers`,
    the `Conditionals` that lead down from layer to layer."""
    discrete: bool = False
    """A prior over one-hot codes; otherwise over real ones."""
    unit_inputs: bool = False
    """It is made from posteriors of images in [0, 1], so the data must lie in that range."""
    about: About = NOTHING
    """What the documentation says of it beside these facts."""

    @property
    def layered(self) -> bool:
        """Whether it is a prior over layers."""
        return self.log_prob_of_layers is not None

    @property
    def hyper(self) -> dict[str, Hyper]:
        """What the user may set: parameters of the log-density that the model does not supply."""
        declared = hyperparameters(self.log_prob)
        supplied = (*self.learned, *self.prepared, *(["layers"] if self.layered else []))
        return {name: hyper for name, hyper in declared.items() if name not in supplied}

    def check(self) -> None:
        """Raises InputError where the declaration does not fit the function."""
        what = f"prior {self.name!r}"
        declared = check_signature(what, self.log_prob, "z", scalars="parameters")
        for parameter in self.prepared or self.learned:
            if parameter not in declared:
                raise InputError(
                    f"{what} learns {parameter!r}, which must be a keyword-only parameter of "
                    f"its function; {near_match(parameter, declared)}"
                )


@dataclass(frozen=True)
class BoundPrior:
    """A prior with the parameters of one step."""

    entry: Prior
    parameters: Mapping[str, Any]

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z): [K, S, B, D] -> [K, S, B]."""
        return call(self.entry.log_prob, z, **self.parameters)

    def log_prob_of_layers(self, z: Tensor) -> list[Tensor] | None:
        """log p(z_l|z_l+1) of each layer [K, S, B], or None for a prior of one layer."""
        of_layers = self.entry.log_prob_of_layers
        return None if of_layers is None else call(of_layers, z, **self.parameters)

    def followed(self, z: Tensor, dimension: int) -> Tensor:
        """Codes [K, S, B, D] of which a dimension was moved: the layers below it follow, each at
        its mean given the one above. Without layers below it they stay as they are."""
        layers = self.parameters["layers"] if self.entry.layered else None
        return z if layers is None else layers.with_means_below(z, dimension)

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
Density = TypeVar("Density", bound=Callable[..., Tensor])


@named_arguments
def prior(
    *,
    source: str,
    sample: Callable[..., Tensor],
    kl: Callable[..., Tensor | None] = _no_formula,
    kl_per_dimension: Callable[..., Tensor | None] = _no_formula,
    learned: Mapping[str, Callable[[Noise, PriorShape], Tensor]] = {},
    prepare: Callable[[Encode, Mapping[str, Tensor]], Mapping[str, Any]] = _unchanged,
    prepared: tuple[str, ...] = (),
    log_prob_of_layers: Callable[..., list[Tensor]] | None = None,
    discrete: bool = False,
    unit_inputs: bool = False,
    about: About = NOTHING,
) -> Callable[[Density], Density]:
    """Register the decorated log-density under its own name, with the fields of Prior.

    Raises InputError where the facts do not fit the function.
    """
    return registers(
        PRIORS,
        lambda name, log_prob: Prior(
            name,
            log_prob,
            source=source,
            sample=sample,
            kl=kl,
            kl_per_dimension=kl_per_dimension,
            learned=learned,
            prepare=prepare,
            prepared=prepared,
            log_prob_of_layers=log_prob_of_layers,
            discrete=discrete,
            unit_inputs=unit_inputs,
            about=about,
        ),
    )
