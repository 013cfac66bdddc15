"""Compiled steps on a CPU: always, or where the steps that are left pay for compiling."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vaebench.models import VAE
from vaebench.ops import note
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Block, Loss, TakeBlock, joined
from vaebench.training.stepping.compiled import CompiledBlocks, Graph, compile_step
from vaebench.training.stepping.eager import eager

FIRST_TIMED, LAST_TIMED = 10, 40
"""The steps whose median time is taken for that of all."""
ASSUMED_DISPATCH, ASSUMED_SAVING = 0.5e-3, 0.15
"""Seconds, and share of the rest, that compiling takes off a step, before any graph has been timed:
see results/reference/steps."""
ASSUMED_SECONDS = 15.0
"""The time that compiling takes, before anything has been compiled."""


@dataclass(frozen=True)
class Compilations:
    """The graphs that stacks were compiled to, and at which sizes of a stack they were faster.

    Everything is by stack key: one graph serves every stack of runs of its shape. It lives as long
    as the way that holds it, in a worker as long as the process.
    """

    graphs: dict[str, Graph] = field(default_factory=dict)
    faster: dict[str, int] = field(default_factory=dict)
    """The most runs at which compiled steps were faster than eager ones: they are faster in smaller
    stacks too, since a compiled run costs the same in any stack, an eager one less in a large one.
    """
    slower: dict[str, int] = field(default_factory=dict)
    """The fewest runs at which compiled steps were no faster; 0 where they cannot be compiled."""
    native_products: bool = True
    """Whether matrix products are those of ops/c/product.c, or PyTorch's."""

    def seconds(self) -> float:
        """The time that compiling takes, as far as it is known."""
        known = (graph.seconds for graph in self.graphs.values() if not graph.from_disk)
        return max(known, default=ASSUMED_SECONDS)

    def graph(
        self,
        model: VAE,
        loss: Loss,
        batches: Minibatches,
        noise: Noise,
        scalars: Sequence[Scalars],
        state: State,
    ) -> Graph:
        """The graph for runs like these; compiled now from their first step if need be."""
        if loss.stack_key not in self.graphs:
            first = scalars[0].with_state(state)
            graph = compile_step(model, loss, batches[0], noise, first, self.native_products)
            self.graphs[loss.stack_key] = graph
            _say(f"{'found on disk' if graph.from_disk else 'compiled'} in {graph.seconds:.1f} s")
        return self.graphs[loss.stack_key]

    def record(self, stack_key: str, num_runs: int, is_faster: bool) -> None:
        """Record whether compiled steps of so many runs were faster than eager ones."""
        if is_faster:
            self.faster[stack_key] = max(num_runs, self.faster.get(stack_key, 0))
        else:
            self.slower[stack_key] = min(num_runs, self.slower.get(stack_key, num_runs))


class Always:
    """Compiled steps from the first one on. Raises RuntimeError where they cannot be compiled."""

    def __init__(
        self, known: Compilations, model: VAE, loss: Loss, descend: Descent, steps_left: int
    ) -> None:
        self.known, self.model, self.loss, self.descend = known, model, loss, descend
        self.take: TakeBlock | None = None

    def __call__(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        if self.take is None:
            graph = self.known.graph(self.model, self.loss, batches, noise, scalars, state)
            self.take = CompiledBlocks(self.model, self.loss, self.descend, graph)
            _say("compiled")
        return self.take(batches, noise, scalars, state)


class Auto:
    """Eager steps, then compiled ones where the steps that are left pay for compiling.

    Both are timed: where the compiled step is no faster, the eager one takes over again.
    """

    def __init__(
        self, known: Compilations, model: VAE, loss: Loss, descend: Descent, steps_left: int
    ) -> None:
        self.known, self.model, self.loss, self.descend = known, model, loss, descend
        self.steps_left = steps_left
        self.eager = eager(model, loss, descend, steps_left)
        self.take: TakeBlock = self.eager
        self.num_taken, self.seconds = 0, list[float]()
        self.decide: Callable[..., None] | None = self._try
        if model.num_runs >= known.slower.get(loss.stack_key, math.inf):
            self.decide = None
            _say("eager, as runs before these")
        elif model.num_runs <= known.faster.get(loss.stack_key, 0):
            self.decide = None
            self._compiled(known.graphs[loss.stack_key])
            _say("compiled, as runs before these")
        elif steps_left <= LAST_TIMED:
            _say("eager: too few steps to time")

    def __call__(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        taken = []
        start = 0
        while start < len(scalars):
            stop = start + self._until_decided() if self.decide else len(scalars)
            part = batches.part(start, stop)
            arguments = part, noise.at(step=part.first), scalars[start:stop], state
            taken.append(self._timed(*arguments) if self.decide else self.take(*arguments))
            state = taken[-1].state
            start = stop
        return joined(taken)

    def _until_decided(self) -> int:
        """The number of steps until the timing begins, or until it ends."""
        return (FIRST_TIMED if self.num_taken < FIRST_TIMED else LAST_TIMED) - self.num_taken

    def _timed(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        start = time.perf_counter()
        block = self.take(batches, noise, scalars, state)
        seconds = (time.perf_counter() - start) / len(scalars)
        if self.num_taken >= FIRST_TIMED:
            self.seconds += [seconds] * len(scalars)
        self.num_taken += len(scalars)
        if self.num_taken == LAST_TIMED and self.decide:
            median, self.seconds, self.num_taken = statistics.median(self.seconds), [], 0
            self.decide(median, batches, noise, scalars, state)
        return block

    def _try(
        self,
        eager: float,
        batches: Minibatches,
        noise: Noise,
        scalars: Sequence[Scalars],
        state: State,
    ) -> None:
        """Compile, if the time that this may save is more than it takes."""
        self.decide = None
        saved_a_step = min(eager, ASSUMED_DISPATCH + ASSUMED_SAVING * eager)
        saved = saved_a_step * (self.steps_left - LAST_TIMED)
        cost = 0.0 if self.loss.stack_key in self.known.graphs else self.known.seconds()
        if saved <= cost:
            _say(f"eager: compiling takes {cost:.0f} s and may save {saved:.1f} s")
            return
        try:
            graph = self.known.graph(self.model, self.loss, batches, noise, scalars, state)
            self._compiled(graph)
            self.decide = functools.partial(self._compare, eager)
        except Exception as error:  # whatever stops a compiler, the eager step goes on
            self.known.record(self.loss.stack_key, 0, is_faster=False)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            _say(f"eager: it could not be compiled: {reason}")

    def _compiled(self, graph: Graph) -> None:
        self.take = CompiledBlocks(self.model, self.loss, self.descend, graph)

    def _compare(self, eager: float, compiled: float, *_: object) -> None:
        """Go on with the faster of both, by their seconds for a step."""
        self.decide = None
        self.known.record(self.loss.stack_key, self.model.num_runs, compiled < eager)
        ratio = f"{compiled / eager:.2f} of the eager step's time"
        if compiled < eager:
            _say(f"compiled: {ratio}")
        else:
            self.take = self.eager
            _say(f"eager: compiled it took {ratio}")


def _say(way: str) -> None:
    note("training step", way)
