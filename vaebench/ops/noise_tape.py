"""The random numbers of a step as a list: what its computation asks for, made apart from it.

A compiled step cannot call a generator. It is traced on a tape that hands out tensors it is given;
before that, one step is recorded to know which to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


class Place(Protocol):
    """Where in its streams a noise is read: `noise.Noise`."""

    @property
    def keys(self) -> tuple[int, ...]: ...

    @property
    def step(self) -> int: ...

    @property
    def first_sample(self) -> int: ...

    @property
    def first_row(self) -> int: ...


Make = Callable[..., Tensor]
"""(noise, *sizes) -> numbers: normals, uniforms or gumbels."""


@dataclass(frozen=True)
class Asked:
    """One draw of a step: the function, where it reads, counted from the step, and the sizes."""

    make: Make
    steps_on: int
    sample: int
    row: int
    sizes: tuple[int, ...]

    def at(self, noise: Any) -> Tensor:
        """The numbers for the step of `noise`."""
        place = noise.at(step=noise.step + self.steps_on, sample=self.sample, row=self.row)
        return self.make(place, *self.sizes)


@dataclass(frozen=True)
class Recorder:
    """Makes the numbers and notes what was asked for, from `step` on, in the streams of `keys`."""

    step: int
    keys: tuple[int, ...]
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, make: Make, noise: Place, sizes: Sequence[int]) -> Tensor:
        if noise.keys != self.keys:
            raise NotImplementedError("a step that is traced draws from its own streams alone")
        steps_on = noise.step - self.step
        asked = Asked(make, steps_on, noise.first_sample, noise.first_row, tuple(sizes))
        self.asked.append(asked)
        return make(noise, *sizes)


@dataclass(frozen=True)
class Player:
    """Hands out the given numbers in the order in which they were recorded."""

    numbers: Iterator[Tensor]

    def __call__(self, make: Make, noise: Place, sizes: Sequence[int]) -> Tensor:
        return next(self.numbers)
