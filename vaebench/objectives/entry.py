"""The facts that a registered objective declares, and the decorator that registers it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from torch import Tensor, nn

from vaebench.core.about import NOTHING, About
from vaebench.core.errors import InputError, near_match
from vaebench.core.hyper import Hyper, Scalar, check_signature, hyperparameters
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.core.user_code import copied, is_users
from vaebench.models.posteriors.entry import Layers, Wanted
from vaebench.models.terms import Terms

Bound = Literal["lower", "upper", "none"]
Side = Literal["encoder", "decoder"]
Need = Literal["independent_dimensions", "closed_form_kl", "log_qz_x_at_any_z"]
"""What an objective needs that not every posterior and prior has: a Gaussian q(z|x) with
independent dimensions; a KL to the prior with a formula; log q(z|x) at any z, not only at draws."""


@dataclass(frozen=True)
class SameAs:
    """The objective at hyperparameters `at` equals `other` at `other_at`.

    `num_samples`: the K at which it holds, if not at every K. `exact`: it holds sample by sample;
    otherwise only in expectation over the samples.
    """

    other: str
    at: Mapping[str, float] = field(default_factory=dict)
    other_at: Mapping[str, float] = field(default_factory=dict)
    num_samples: int | None = None
    exact: bool = True


@dataclass(frozen=True)
class Case:
    """The objective, which has no hyperparameters, equals `other` at the hyperparameters `at`.

    So do its gradients, also in their rounding; a term with a weight of 0 must be finite.
    """

    other: str
    at: Mapping[str, float]


@dataclass(frozen=True)
class GradientOf:
    """The expected gradient of an estimator is that of `other` at `other_at`.

    An estimator's gradient is not that of its own value sample by sample. Where `other` is the
    objective itself, the two agree as K grows.
    """

    other: str
    other_at: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Auxiliary:
    """A network that an objective needs and the loop trains, beside the model and by one optimiser.

    `network`: (width of a code, layers) -> module [S, n, D] -> [S, n, outputs].
    `loss`: Terms -> what the network is trained on [S, n], codes detached.
    """

    network: Callable[[int, Layers], nn.Module]
    loss: Callable[..., Tensor]


@dataclass(frozen=True)
class Objective:
    """One entry of the registry: a loss as a function of Terms, with the facts it declares."""

    name: str
    loss: Callable[..., Tensor]
    """(Terms, **hyper) -> loss [S, B] in nats, to be minimised."""
    source: str
    """Paper and equation."""
    bound: Bound
    """What minus the loss is to log p(x), in expectation over the samples; an upper bound as K
    grows. The encoder descends an upper bound: there its gradient has the other sign."""
    tight: bool = False
    """Minus the loss equals log p(x) where q(z|x) is the true posterior."""
    bound_for: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The hyperparameters for which the bound holds, where it does not hold for all."""
    same_as: tuple[SameAs, ...] = ()
    case_of: Case | None = None
    """Another objective that this one is, to the last bit: compiled steps of both are one graph."""
    no_looser_than: tuple[str, ...] = ()
    """Objectives, at their defaults, than which this bound is never looser, in expectation."""
    tighter_with_samples: bool = False
    """The bound tightens, in expectation, as K grows."""
    gradient_of: Mapping[Side, GradientOf] = field(default_factory=dict)
    """The objective whose gradient each side has in expectation. A side that is not named has the
    gradient of the loss itself, sample by sample."""
    still_at_posterior: bool = False
    """The encoder's gradient is 0 in every sample where q(z|x) is the true posterior."""
    ignores_rate: bool = False
    """A weight on the rate changes nothing, so a warm-up is refused."""
    min_samples: int = 1
    """The least K with which it is another objective than its limit at K = 1."""
    of_batch: bool = False
    """A function of the whole minibatch, as of the aggregate posterior: the loss of one example
    depends on the others."""
    draws: Wanted = "kl"
    """What the loss asks of its samples, so that training computes it in the same pass as them.
    With another declaration, or none, the loss is the same and takes longer."""
    needs: Need | None = None
    """What the loss asks of the posterior and the prior."""
    penalises: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    """Hyperparameter -> what the loss grows by with it, as a function of the exact aggregate
    posterior (certify.objectives.aggregate_posterior). An auxiliary network is then one that tells
    q(z) from the product of its marginals."""
    state: tuple[str, ...] = ()
    """Parameters that the loop keeps for each run, from their defaults on, and `update` moves."""
    update: Callable[..., dict[str, Tensor]] | None = None
    """(Terms, **state and hyper) -> the next state, [S, 1] each, after a step."""
    auxiliary: Auxiliary | None = None
    about: About = NOTHING
    """What the documentation says of it beside these facts."""

    def __call__(self, terms: Terms, **scalars: Scalar) -> Tensor:
        """The loss [S, B]. Raises InputError where the function returns anything else."""
        loss = self.loss(terms, **(copied(scalars) if is_users(self.loss) else scalars))
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        if shape != tuple(terms.shape):
            raise InputError(
                f"objective {self.name!r} must return one loss per run and example, "
                f"{tuple(terms.shape)}; got {shape}: reduce the K samples and nothing else"
            )
        return loss

    @property
    def hyper(self) -> dict[str, Hyper]:
        """The declared hyperparameters, by name."""
        declared = hyperparameters(self.loss)
        return {name: declared[name] for name in declared if name not in self.state}

    @property
    def counts(self) -> tuple[str, ...]:
        """The hyperparameters that are whole numbers, one for all runs of a stack."""
        return tuple(name for name, hyper in self.hyper.items() if hyper.integer)

    @property
    def initial_state(self) -> dict[str, float]:
        """The state from which each run starts."""
        declared = hyperparameters(self.loss)
        return {name: declared[name].default or 0.0 for name in self.state}

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.loss) or "").partition("\n")[0]

    @property
    def compares_examples(self) -> bool:
        """Whether what is trained on an example depends on the others of its minibatch."""
        return self.of_batch or self.auxiliary is not None

    def is_bound_at(self, hyper: Mapping[str, float]) -> bool:
        """Whether the declared bound holds at these hyperparameters."""
        ranges = ((hyper[name], *limits) for name, limits in self.bound_for.items())
        return self.bound != "none" and all(low <= v <= high for v, low, high in ranges)

    def check(self) -> None:
        """Raises InputError where the declaration does not fit the function."""
        what = f"objective {self.name!r}"
        if self.bound not in get_args(Bound):
            raise InputError(f"{what}: bound must be one of {get_args(Bound)}; got {self.bound!r}")
        if self.draws not in get_args(Wanted):
            raise InputError(f"{what}: draws must be one of {get_args(Wanted)}; got {self.draws!r}")
        if self.needs not in (None, *get_args(Need)):
            raise InputError(f"{what}: needs must be one of {get_args(Need)}; got {self.needs!r}")
        for side in self.gradient_of:
            if side not in get_args(Side):
                raise InputError(f"{what}: gradient_of names encoder or decoder; got {side!r}")
        sides = [side for side, of in self.gradient_of.items() if of.other == self.name]
        if sides and self.bound != "upper":
            raise InputError(
                f"{what}: only an upper bound has the gradient of itself as K grows; got "
                f"gradient_of {sides[0]!r}: leave it out, or name another objective"
            )
        if isinstance(self.no_looser_than, str) or isinstance(self.same_as, SameAs):
            raise InputError(f"{what}: no_looser_than and same_as are tuples; got a single value")
        if bool(self.state) != (self.update is not None):
            raise InputError(f"{what}: state and update go together; declare both or neither")
        self._check_names(what)

    def _check_names(self, what: str) -> None:
        declared = check_signature(what, self.loss, "terms")
        facts: Sequence[Mapping[str, Any]] = (self.bound_for, self.penalises)
        named = [*self.state, *(name for fact in facts for name in fact)]
        for name in [*named, *(name for same in self.same_as for name in same.at)]:
            if name not in declared:
                raise InputError(
                    f"{what} declares a fact of {name!r}; {near_match(name, declared)}"
                )


LossFunction = TypeVar("LossFunction", bound=Callable[..., Tensor])
OBJECTIVES: Registry[Objective] = Registry("objective")

AT_LEAST_ONE = (1.0, math.inf)


@named_arguments
def objective(
    *,
    source: str,
    bound: Bound,
    tight: bool = False,
    bound_for: Mapping[str, tuple[float, float]] = {},
    same_as: tuple[SameAs, ...] = (),
    case_of: Case | None = None,
    no_looser_than: tuple[str, ...] = (),
    tighter_with_samples: bool = False,
    gradient_of: Mapping[Side, GradientOf] = {},
    still_at_posterior: bool = False,
    ignores_rate: bool = False,
    min_samples: int = 1,
    of_batch: bool = False,
    draws: Wanted = "kl",
    needs: Need | None = None,
    penalises: Mapping[str, Callable[..., float]] = {},
    state: tuple[str, ...] = (),
    update: Callable[..., dict[str, Tensor]] | None = None,
    auxiliary: Auxiliary | None = None,
    about: About = NOTHING,
) -> Callable[[LossFunction], LossFunction]:
    """Register the decorated function under its own name, with the fields of Objective.

    Raises InputError where the facts do not fit the function.
    """
    return registers(
        OBJECTIVES,
        lambda name, loss: Objective(
            name,
            loss,
            source=source,
            bound=bound,
            tight=tight,
            bound_for=bound_for,
            same_as=same_as,
            case_of=case_of,
            no_looser_than=no_looser_than,
            tighter_with_samples=tighter_with_samples,
            gradient_of=gradient_of,
            still_at_posterior=still_at_posterior,
            ignores_rate=ignores_rate,
            min_samples=min_samples,
            of_batch=of_batch,
            draws=draws,
            needs=needs,
            penalises=penalises,
            state=state,
            update=update,
            auxiliary=auxiliary,
            about=about,
        ),
    )
