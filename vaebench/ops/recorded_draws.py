"""The random numbers of a step as a list of draws, which can be made apart from the step.

A compiled step cannot call a generator: it is given its random numbers. So one step is recorded, to
know which numbers it draws; then it is traced with tensors in their place.
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
"""(noise, number of steps T, *sizes) -> numbers [T, ...]: normals, uniforms or gumbels."""


@dataclass(frozen=True)
class Draw:
    """One draw of a step: the function, where it reads, relative to the step, and the sizes."""

    make: Make
    steps_on: int
    """Steps after the step that draws."""
    sample: int
    row: int
    sizes: tuple[int, ...]
    rows_on: int = 0
    """Rows further on for each row that the noise of the step begins further on."""

    def at(self, noise: Any) -> Tensor:
        """The numbers for the step of `noise`."""
        return self.over(noise, 1)[0]

    def over(self, noise: Any, num_steps: int) -> Tensor:
        """The numbers for T steps from that of `noise` on: [T, ...]."""
        row = self.row + self.rows_on * noise.first_row
        place = noise.at(step=noise.step + self.steps_on, sample=self.sample, row=row)
        return self.make(place, num_steps, *self.sizes)


@dataclass(frozen=True)
class Recording:
    """Makes the numbers that a step draws from the streams of `keys`, and records the draws.

    Raises NotImplementedError for a draw from other streams.
    """

    step: int
    keys: tuple[int, ...]
    draws: list[Draw] = field(default_factory=list)

    def __call__(self, make: Make, noise: Place, sizes: Sequence[int]) -> Tensor:
        if noise.keys != self.keys:
            raise NotImplementedError("a step that is traced draws from its own streams alone")
        steps_on = noise.step - self.step
        draw = Draw(make, steps_on, noise.first_sample, noise.first_row, tuple(sizes))
        self.draws.append(draw)
        return make(noise, 1, *sizes)[0]


@dataclass(frozen=True)
class Replay:
    """Hands out numbers that were made before, in the order in which the draws were recorded."""

    numbers: Iterator[Tensor]

    def __call__(self, make: Make, noise: Place, sizes: Sequence[int]) -> Tensor:
        return next(self.numbers)
