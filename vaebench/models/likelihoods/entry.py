"""What a registered likelihood declares of itself, and the decorator that registers it.

Shapes: data x [S, B, P], decoder output out [K, S, B, n * P], log p(x|z) [K, S, B] in nats.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from vaebench.core.about import NOTHING, About
from vaebench.core.errors import InputError, near_match
from vaebench.core.hyper import Hyper, check_signature, hyperparameters
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.core.user_code import call
from vaebench.data import Images, span
from vaebench.models.likelihoods.outputs import identity
from vaebench.models.likelihoods.scales import Doubt, no_doubt
from vaebench.models.likelihoods.supports import Support
from vaebench.ops.noise import Noise

Measure = Literal["mass", "density"]


@dataclass(frozen=True)
class Likelihood:
    """One entry of the registry: a density with what is known of it.

    The keyword-only parameters of `log_prob` are hyperparameters, unless `learned` or `fitted`
    names them. All arrive as a float or an [S, 1] tensor.
    """

    name: str
    log_prob: Callable[..., Tensor]
    """(x, out, **parameters) -> log p(x|z), with all constants."""
    source: str
    measure: Measure
    support: Support
    mean: Callable[[Tensor], Tensor]
    """The mean of p(x|z): the decoder's output [K, S, B, n * P] -> [K, S, B, P]."""
    outputs_per_pixel: int = 1
    """n: out.chunk(n, -1) gives n tensors [K, S, B, P], e.g. all locations, then all scales."""
    learned: Mapping[str, float] = field(default_factory=dict)
    """Initial values of the scalars that are trained with the model, one per run."""
    fitted: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict)
    """The parameters that training sets in closed form: (x, out) of a batch -> [S, 1]. In
    evaluation a running value takes their place."""
    sample: Callable[..., Tensor] | None = None
    """(out, noise, **parameters) -> x [K, S, B, P] drawn from p(x|z), with the parameters of
    `log_prob`. Without it there are no images from the model itself, only their means."""
    encoder_input: Callable[[Tensor], Tensor] = identity
    """What the encoder is given of x [S, B, P], which log p(x|z) is of."""
    log_mean: bool = False
    """Whether the first P outputs are the logs of numbers that the mean is in proportion to, so
    that an exposure, as the library size of counts, multiplies it: see `exposed`."""
    outputs_at: Callable[[Tensor], Tensor] | None = None
    """The inverse of `mean` for one example, [P] -> [n P]: where a decoder's biases may start."""
    doubt: Doubt = no_doubt
    """(x, out) -> why a decoder's output looks like numbers on another scale, "" where it does
    not: asked of models from elsewhere."""
    about: About = NOTHING
    """What the documentation says of it beside these facts."""

    @property
    def hyper(self) -> dict[str, Hyper]:
        """What the user may set: the parameters that are neither learned nor fitted."""
        declared = hyperparameters(self.log_prob)
        supplied = {*self.learned, *self.fitted}
        return {name: declared[name] for name in declared if name not in supplied}

    def draw(self, out: Tensor, noise: Noise, **parameters: Any) -> Tensor:
        """Images from p(x|z) of the decoder's output: [K, S, B, n P] -> [K, S, B, P].

        Raises InputError where no sampler is declared.
        """
        if self.sample is None:
            raise InputError(
                f"likelihood {self.name!r} declares no sampler, so no images can be drawn from "
                f"p(x|z): register it with sample=..."
            )
        return call(self.sample, out, noise, **parameters)

    def exposed(self, out: Tensor, exposure: Tensor) -> Tensor:
        """The outputs of means that are `exposure` times as large: [K, S, B, n P], [S, B, 1].

        Only where `log_mean` is declared.
        """
        log_mean, *others = out.chunk(self.outputs_per_pixel, -1)
        return torch.cat([log_mean + exposure.log(), *others], -1)

    def supports(self, images: Images) -> bool:
        """Whether p(x|z) gives a probability to all values that images hold."""
        return all(self.support.contains(rows) for rows in images.chunks())

    def check_support(self, images: Images, described: str) -> None:
        """Raises InputError where images hold values that p(x|z) gives no probability to."""
        if not self.supports(images):
            raise InputError(
                f"likelihood {self.name!r} needs {self.support.description}; {described} has "
                f"other values: {self.support.advice}; its values go {span(images)}"
            )

    def check(self) -> None:
        """Raises InputError where the declaration does not fit the function."""
        what = f"likelihood {self.name!r}"
        if self.measure not in get_args(Measure):
            raise InputError(
                f"{what}: measure must be one of {get_args(Measure)}; got {self.measure!r}"
            )
        if self.outputs_per_pixel < 1:
            raise InputError(
                f"{what}: outputs_per_pixel must be at least 1; got {self.outputs_per_pixel}"
            )
        self._check_parameters(what)

    def _check_parameters(self, what: str) -> None:
        declared = check_signature(what, self.log_prob, "x", "out", scalars="parameters")
        for name in [*self.learned, *self.fitted]:
            if name not in declared:
                raise InputError(
                    f"{what} has no parameter {name!r} to learn or fit; "
                    f"{near_match(name, declared)}"
                )
        self._check_sampler(what, declared)
        if both := sorted({*self.learned} & {*self.fitted}):
            raise InputError(f"{what}: {both[0]!r} is learned and fitted: declare it as one")

    def _check_sampler(self, what: str, declared: Mapping[str, Hyper]) -> None:
        if self.sample is None:
            return
        (_, _, *others) = inspect.signature(self.sample).parameters
        if sorted(others) != sorted(declared):
            raise InputError(
                f"{what}: its sampler must take the parameters of its density, {sorted(declared)}; "
                f"it takes {sorted(others)}"
            )


LIKELIHOODS: Registry[Likelihood] = Registry("likelihood")
Density = TypeVar("Density", bound=Callable[..., Tensor])


@named_arguments
def likelihood(
    *,
    source: str,
    measure: Measure,
    support: Support,
    mean: Callable[[Tensor], Tensor],
    outputs_per_pixel: int = 1,
    learned: Mapping[str, float] = {},
    fitted: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {},
    sample: Callable[..., Tensor] | None = None,
    encoder_input: Callable[[Tensor], Tensor] = identity,
    log_mean: bool = False,
    outputs_at: Callable[[Tensor], Tensor] | None = None,
    doubt: Doubt = no_doubt,
    about: About = NOTHING,
) -> Callable[[Density], Density]:
    """Register the decorated log-density under its own name, with the fields of Likelihood.

    Raises InputError where the facts do not fit the function.
    """
    return registers(
        LIKELIHOODS,
        lambda name, log_prob: Likelihood(
            name,
            log_prob,
            source=source,
            measure=measure,
            support=support,
            mean=mean,
            outputs_per_pixel=outputs_per_pixel,
            learned=learned,
            fitted=fitted,
            sample=sample,
            encoder_input=encoder_input,
            log_mean=log_mean,
            outputs_at=outputs_at,
            doubt=doubt,
            about=about,
        ),
    )
