"""What a registered objective declares of itself, and the decorator that registers it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from torch import Tensor

from vaebench.errors import InputError, near_match
from vaebench.hyper import Hyper, hyperparameters
from vaebench.registry import Registry

Bound = Literal["lower", "none"]


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
class Objective:
    """One entry of the registry: a loss as a function of Terms, with the facts declared of it."""

    name: str
    loss: Callable[..., Tensor]
    """(Terms, **hyper) -> loss [S, B] in nats, to be minimised."""
    source: str
    """Paper and equation."""
    bound: Bound
    """What minus the loss is to log p(x), in expectation over the samples."""
    tight: bool = False
    """Minus the loss equals log p(x) where q(z|x) is the true posterior."""
    bound_for: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The hyperparameters for which the bound holds, where it does not hold for all."""
    same_as: tuple[SameAs, ...] = ()
    no_looser_than: tuple[str, ...] = ()
    """Objectives, at their defaults, than which this bound is never looser, in expectation."""
    tighter_with_samples: bool = False
    """The bound tightens, in expectation, as K grows."""
    ignores_rate: bool = False
    """A weight on the rate changes nothing, so a warm-up is refused."""

    @property
    def hyper(self) -> dict[str, Hyper]:
        """The declared hyperparameters, by name."""
        return hyperparameters(self.loss)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.loss) or "").partition("\n")[0]

    def is_bound_at(self, hyper: Mapping[str, float]) -> bool:
        """Whether the declared bound holds at these hyperparameters."""
        ranges = ((hyper[name], *limits) for name, limits in self.bound_for.items())
        return self.bound == "lower" and all(low <= v <= high for v, low, high in ranges)

    def check(self) -> None:
        """Raises InputError where the declaration does not fit the function."""
        what = f"objective {self.name!r}"
        if self.bound not in get_args(Bound):
            raise InputError(f"{what}: bound must be one of {get_args(Bound)}; got {self.bound!r}")
        (_, *others) = inspect.signature(self.loss).parameters.values()
        if loose := [p.name for p in others if p.kind is not p.KEYWORD_ONLY]:
            raise InputError(f"{what}: hyperparameters come after a *; {loose[0]!r} does not")
        try:
            declared = self.hyper
        except (NameError, TypeError, ValueError) as error:
            raise InputError(f"{what}: its signature cannot be read: {error}") from error
        for name in [*self.bound_for, *(name for same in self.same_as for name in same.at)]:
            if name not in declared:
                raise InputError(
                    f"{what} declares a fact of {name!r}; {near_match(name, declared)}"
                )


OBJECTIVES: Registry[Objective] = Registry("objective")

AT_LEAST_ONE = (1.0, math.inf)


def objective(
    *, source: str, bound: Bound, **facts: Any
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the decorated function under its own name; `facts` are the fields of Objective.

    Raises InputError where the facts do not fit the function.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        name = function.__name__
        entry = Objective(name, function, source=source, bound=bound, **facts)
        entry.check()
        OBJECTIVES.add(name, entry)
        return function

    return register
