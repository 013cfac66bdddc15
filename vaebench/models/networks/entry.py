"""What a registered model declares of itself, and the decorators that register it.

A model is the encoder and decoder of S runs between images, codes and likelihoods. It is written as
the two networks of one run (`model`), of which the suite makes S copies, or, in this package, as
networks of S runs (`stacked_model`), whose tensors have an axis of runs.

Shapes: x [S, B, P] -> numbers of a posterior [S, B, R]; codes [S, N, D] -> [S, N, n P].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from vaebench.core.about import NOTHING, About
from vaebench.core.hyper import Setting, check_arguments, settings
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.models.networks.copies import stacked
from vaebench.models.networks.sizes import ImageShape, Networks, Sizes
from vaebench.ops.noise import Noise


@dataclass(frozen=True)
class Model:
    """One entry of the registry: the networks of one run."""

    name: str
    networks: Callable[..., Networks]
    """(sizes, **hyper) -> encoder and decoder, both torch.nn.Modules made anew at each call."""
    source: str = ""
    """Paper and equation."""
    about: About = NOTHING
    """What the documentation says of it beside these facts."""
    takes_widths: ClassVar[bool] = False
    """Whether it is told of `model.widths`; else all its sizes are hyperparameters."""
    arguments: ClassVar[tuple[str, ...]] = ("sizes",)

    @property
    def hyper(self) -> dict[str, Setting]:
        """The declared hyperparameters, by name: numbers, words, true or false."""
        return settings(self.networks)

    def starts_at_data(self, hyper: Mapping[str, Any]) -> bool:
        """Whether it asks for the outputs at the mean of the training images, by a hyperparameter
        `output_bias` at "data"."""
        return hyper.get("output_bias") == "data"

    def normalises(self, hyper: Mapping[str, Any]) -> bool:
        """Whether its hidden layers are normalised over a minibatch, by a hyperparameter `norm` at
        "batch"."""
        return hyper.get("norm") == "batch"

    def refuses_widths(self, widths: Sequence[int]) -> str:
        """The reason and what to do, or "" for none."""
        return ""

    def refuses_images(self, image_shape: ImageShape, widths: Sequence[int]) -> str:
        """The reason and what to do, or "" for none."""
        return ""

    def build(
        self,
        sizes: Sizes,
        widths: Sequence[int],
        hyper: Mapping[str, Any],
        noises: Iterator[Noise],
    ) -> Networks:
        """Encoder and decoder of S runs, each initialised from its own key of the next noise."""
        return stacked(self.name, self.networks, sizes, hyper, next(noises).keys)

    def check(self) -> None:
        """Raises InputError where the function has another signature."""
        check_arguments(f"model {self.name!r}", self.networks, *self.arguments)


def _refuses_no_widths(widths: Sequence[int]) -> str:
    return ""


def _refuses_no_images(image_shape: ImageShape, widths: Sequence[int]) -> str:
    return ""


@dataclass(frozen=True)
class StackedModel(Model):
    """One entry of the registry: the networks of S runs, with a leading axis of runs."""

    refusal_of_widths: Callable[[Sequence[int]], str] = _refuses_no_widths
    refusal_of_images: Callable[[ImageShape, Sequence[int]], str] = _refuses_no_images
    takes_widths = True
    arguments = ("sizes", "widths", "noises")

    def refuses_widths(self, widths: Sequence[int]) -> str:
        return self.refusal_of_widths(widths)

    def refuses_images(self, image_shape: ImageShape, widths: Sequence[int]) -> str:
        return self.refusal_of_images(image_shape, widths)

    def build(
        self,
        sizes: Sizes,
        widths: Sequence[int],
        hyper: Mapping[str, Any],
        noises: Iterator[Noise],
    ) -> Networks:
        return self.networks(sizes, widths, noises, **hyper)


MODELS: Registry[Model] = Registry("model")
Builder = TypeVar("Builder", bound=Callable[..., Networks])


@named_arguments
def model(*, source: str = "", about: About = NOTHING) -> Callable[[Builder], Builder]:
    """Register the decorated function under its own name, with the fields of Model.

    Raises InputError where the function has another signature.
    """
    return registers(
        MODELS, lambda name, networks: Model(name, networks, source=source, about=about)
    )


@named_arguments
def stacked_model(
    *,
    source: str = "",
    about: About = NOTHING,
    refusal_of_widths: Callable[[Sequence[int]], str] = _refuses_no_widths,
    refusal_of_images: Callable[[ImageShape, Sequence[int]], str] = _refuses_no_images,
) -> Callable[[Builder], Builder]:
    """Register networks of S runs: (sizes, widths, noises, **hyper) -> encoder, decoder.

    `noises`: the initial numbers of one layer after another. Raises InputError likewise.
    """
    return registers(
        MODELS,
        lambda name, networks: StackedModel(
            name,
            networks,
            source=source,
            about=about,
            refusal_of_widths=refusal_of_widths,
            refusal_of_images=refusal_of_images,
        ),
    )
