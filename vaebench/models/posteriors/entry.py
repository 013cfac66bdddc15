"""What a registered family of posteriors declares of itself, and the decorator that registers it.

A family makes a distribution over z from the encoder's numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor, nn

from vaebench.core.about import NOTHING, About
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper, check_signature, hyperparameters
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.ops.noise import Noise


@dataclass(frozen=True)
class Latent:
    """The sizes of a latent code, as a configuration gives them."""

    dim: int
    """D: dimensions, or categorical variables."""
    num_classes: int = 10
    """Values of each categorical variable."""
    flow_steps: int = 2
    """Maps that a flow posterior is composed of."""
    layer_dims: tuple[int, ...] = ()
    """Dimensions of each layer of a hierarchy, that beside the images first; none: two halves."""
    layer_widths: tuple[tuple[int, ...], ...] = ()
    """Hidden widths of the networks between each two neighbouring layers; none: affine maps."""
    layer_model: str = "mlp"
    """The registered model that those networks are the encoder and decoder of."""
    layer_skip: bool = False
    """Whether the decoder sees all layers of a hierarchy, and not the first alone."""
    layer_features: tuple[int, ...] = ()
    """Numbers of the deterministic layer of each latent one, of a posterior whose encoder says
    something of all; none: all comes from the encoder's last hidden layer."""

    @property
    def layers(self) -> tuple[int, ...]:
        """D_1, ..., D_L: the dimensions of each layer of a hierarchy. They add up to D."""
        halves = (self.dim - self.dim // 2, self.dim // 2)
        return self.layer_dims or tuple(filter(None, halves))

    @property
    def widths_between(self) -> tuple[tuple[int, ...], ...]:
        """The hidden widths between layer l and l + 1, for each l below L."""
        return self.layer_widths or ((),) * (len(self.layers) - 1)


Wanted = Literal["kl", "log_qz_x", "log_qz_x_path"]
"""What to compute in the same pass as the samples: the KL to N(0, I), log q(z|x), or log q(z|x)
with its gradient through z alone."""


@dataclass(frozen=True)
class Drawing:
    """How samples of q(z|x) are drawn."""

    noise: Noise
    num_samples: int
    """K."""
    ops: ModuleType
    """The kernels, or the reference: the module `densities`."""
    relaxed: bool = False
    """Relaxed samples where the family trains on such; otherwise true ones."""
    wanted: Wanted = "kl"
    """What a family that can should compute in the same pass."""


class Draw(NamedTuple):
    """K samples, with what was computed in the same pass: None where nothing was."""

    z: Tensor  # [K, S, B, D]
    log_qz_x: Tensor | None = None  # [K, S, B]
    log_qz_x_path: Tensor | None = None  # [K, S, B] with gradient through z alone
    log_standard_normal: Tensor | None = None  # [K, S, B] log N(z; 0, I)
    kl_to_standard_normal: Tensor | None = None  # [S, B]
    mean: Tensor | None = None  # [K, S, B, D] E[z_l | the layer that z_l was drawn from], by layer
    kl_of_layers: Tensor | None = None
    """[L, S, B] the KL of each layer to a prior of the same `Conditionals`, in closed form given
    the layer above, averaged over its K samples."""


class Distribution(Protocol):
    """q(z|x) for one batch of S runs."""

    def draw(self, drawing: Drawing) -> Draw:
        """K samples [K, S, B, D], differentiable in the parameters."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x): [K, S, B, D] -> [K, S, B]. Raises InputError where no formula exists."""

    def stopped(self) -> Self:
        """The same distribution, its parameters without gradient. Raises InputError for discrete
        codes, which have no path derivative."""

    @property
    def num_examples(self) -> int:
        """B."""

    @property
    def mean(self) -> Tensor:
        """E[z]: [S, B, D]. Raises InputError where no formula exists."""

    @property
    def log_var(self) -> Tensor:
        """log Var[z_d] of each dimension: [S, B, D]. Raises InputError where no formula exists."""


Layers = Callable[[int, int], nn.Module]
"""Makes the next affine layer of S runs: (inputs, outputs) -> layer."""
Direction = Literal["up", "down"]
"""From the images to the top layer of latents, or back."""


def _one_per_dimension(latent: Latent) -> int:
    return latent.dim


@dataclass(frozen=True)
class Posterior:
    """One entry of the registry: how numbers from the encoder become a distribution."""

    name: str
    distribution: Callable[..., Distribution]
    """(numbers [S, B, R], sizes, network, **hyper) -> q(z|x)."""
    source: str
    num_inputs: Callable[[Latent], int]
    """R: numbers that the encoder gives for each example."""
    code_width: Callable[[Latent], int] = _one_per_dimension
    """Numbers per code z, as the decoder sees it."""
    network: Callable[[Latent, Layers], nn.Module] | None = None
    """Trained parts beside the encoder, where the family has any."""
    conditionals: Direction | None = None
    """Which `Conditionals` a family over layers is given as its network: those that lead up from
    layer to layer, or those that lead down."""
    discrete: bool = False
    """A family over one-hot codes; otherwise over real ones."""
    closed_form_kl_to: tuple[str, ...] = ()
    """Names of the priors to which its KL has a closed form, for the tables of what is there."""
    about: About = NOTHING
    """What the documentation says of it beside these facts."""

    @property
    def hyper(self) -> dict[str, Hyper]:
        """The scalars of the family, by name."""
        return hyperparameters(self.distribution)

    def check(self) -> None:
        """Raises InputError where the function has another signature."""
        positional = ("numbers", "latent", "network")
        check_signature(f"posterior {self.name!r}", self.distribution, *positional)


POSTERIORS: Registry[Posterior] = Registry("posterior")
Family = TypeVar("Family", bound=Callable[..., Distribution])


@named_arguments
def posterior(
    *,
    source: str,
    num_inputs: Callable[[Latent], int],
    code_width: Callable[[Latent], int] = _one_per_dimension,
    network: Callable[[Latent, Layers], nn.Module] | None = None,
    conditionals: Direction | None = None,
    discrete: bool = False,
    closed_form_kl_to: tuple[str, ...] = (),
    about: About = NOTHING,
) -> Callable[[Family], Family]:
    """Register the decorated family under its own name, with the fields of Posterior.

    Raises InputError where the function has another signature.
    """
    return registers(
        POSTERIORS,
        lambda name, distribution: Posterior(
            name,
            distribution,
            source=source,
            num_inputs=num_inputs,
            code_width=code_width,
            network=network,
            conditionals=conditionals,
            discrete=discrete,
            closed_form_kl_to=closed_form_kl_to,
            about=about,
        ),
    )


def no_formula(family: str, what: str, instead: str) -> InputError:
    """The refusal of a quantity that a family has no closed form for."""
    return InputError(f"posterior {family!r} has no closed form for {what}: {instead}")
