"""What a graph takes and gives, kept beside its code: with it, a graph on disk needs no trace."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from vaebench.core import cache
from vaebench.ops.noise import DRAWS
from vaebench.ops.recorded_draws import Draw
from vaebench.training.stepping.compiled.trace import Trace


class Drawn(Struct, frozen=True):
    """One draw of random numbers: see `recorded_draws.Draw`."""

    make: str
    """The name of the function in `ops.noise.DRAWS`."""
    steps_on: int
    sample: int
    row: int
    sizes: tuple[int, ...]
    rows_on: int

    @property
    def draw(self) -> Draw:
        """The draw with its function."""
        return Draw(
            DRAWS[self.make], self.steps_on, self.sample, self.row, self.sizes, self.rows_on
        )


class Shape(Struct, frozen=True):
    """An input of the graph, dense."""

    dtype: str
    sizes: tuple[int, ...]


class Entry(Struct, frozen=True):
    """A graph by the name of its code, with what `trace.Trace` says of it."""

    graph: str
    drawn: tuple[Drawn, ...]
    moved: tuple[bool, ...]
    inputs: tuple[Shape, ...]

    @property
    def draws(self) -> tuple[Draw, ...]:
        """The random numbers of a step."""
        return tuple(drawn.draw for drawn in self.drawn)

    @property
    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the shapes that it takes, on no device."""
        return tuple(
            torch.empty(shape.sizes, dtype=getattr(torch, shape.dtype), device="meta")
            for shape in self.inputs
        )


def entry_of(trace: Trace, graph: str) -> Entry:
    """What is kept of a trace whose graph has a name."""
    name_of = {make: name for name, make in DRAWS.items()}
    drawn = [
        Drawn(name_of[d.make], d.steps_on, d.sample, d.row, d.sizes, d.rows_on) for d in trace.draws
    ]
    shapes = [Shape(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for t in trace.example]
    return Entry(graph, tuple(drawn), trace.moved, tuple(shapes))


def read(path: Path) -> Entry | None:
    """The entry that is kept at a path; None where there is none."""
    text = cache.contents(path)
    return None if text is None else msgspec.json.decode(text, type=Entry)


def write(path: Path, entry: Entry) -> None:
    """Keep an entry. Raises OSError where it cannot be written."""
    text = msgspec.json.encode(entry)

    def put(library: Path) -> None:
        library.write_bytes(text)

    cache.fetch(path, put)
