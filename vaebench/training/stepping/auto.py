"""Whether to compile a step: never, always, or where the steps that are left pay for it."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence

from vaebench.core.registry import Registry
from vaebench.models import VAE
from vaebench.ops import note
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Block, Loss, MakeBlocks, TakeBlock, joined
from vaebench.training.stepping.compiled import CompiledBlocks, Graph, compile_step
from vaebench.training.stepping.eager import OneByOne, eager

FIRST_TIMED, LAST_TIMED = 10, 40
"""The steps whose median time is taken for that of all."""
ASSUMED_DISPATCH, ASSUMED_SAVING = 0.5e-3, 0.15
"""Seconds, and share of the rest, that compiling takes off a step, before any graph has been timed:
see results/reference/steps."""
ASSUMED_SECONDS = 15.0
"""Of compiling, before anything has been compiled in this process."""


_graphs: dict[str, Graph] = {}
"""By stack key: one serves every run of its shape."""
_faster: dict[str, int] = {}
_slower: dict[str, int] = {}
"""By stack key, the most runs at which the compiled step was found faster than the eager one, and
the fewest at which it was not, 0 where there is none: a compiled run costs the same in any stack,
an eager one less in a large stack."""


def never(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeBlock:
    """Operation by operation."""
    _say("eager")
    return eager(model, loss, descend, steps_left)


def auto(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeBlock:
    """Compiled where that pays; on a GPU, one CUDA graph."""
    if _on_cpu(model):
        return Auto(model, loss, descend, steps_left)
    return _captured(model, loss, descend, steps_left)


def always(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeBlock:
    """Compiled from the first step on; on a GPU, one CUDA graph."""
    if _on_cpu(model):
        return Always(model, loss, descend, steps_left)
    return _captured(model, loss, descend, steps_left)


def _on_cpu(model: VAE) -> bool:
    return next(model.parameters()).device.type == "cpu"


def _captured(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeBlock:
    try:
        from vaebench.training.stepping.cuda_graph import CapturedStep
    except ImportError as error:
        _say(f"eager: a CUDA graph needs {error.name}")
        return eager(model, loss, descend, steps_left)
    return OneByOne(CapturedStep(model, loss), descend)


class Always:
    """Compiled steps from the first one on."""

    def __init__(self, model: VAE, loss: Loss, descend: Descent, steps_left: int) -> None:
        self.model, self.loss, self.descend = model, loss, descend
        self.take: TakeBlock | None = None

    def __call__(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        if self.take is None:
            graph = _graph(self.model, self.loss, some, noise, scalars, state)
            self.take = CompiledBlocks(self.model, self.loss, self.descend, graph)
            _say("compiled")
        return self.take(some, noise, scalars, state)


class Auto:
    """Eager steps, then compiled ones where the steps that are left pay for compiling.

    Both are timed: where the compiled step is no faster, the eager one takes over again.
    """

    def __init__(self, model: VAE, loss: Loss, descend: Descent, steps_left: int) -> None:
        self.model, self.loss, self.descend = model, loss, descend
        self.steps_left = steps_left
        self.eager = eager(model, loss, descend, steps_left)
        self.take: TakeBlock = self.eager
        self.num_taken, self.seconds = 0, list[float]()
        self.decide: Callable[..., None] | None = self._try
        if model.num_runs >= _slower.get(loss.stack_key, math.inf):
            self.decide = None
            _say("eager, as runs before these")
        elif model.num_runs <= _faster.get(loss.stack_key, 0):
            self.decide = None
            self._compiled(_graphs[loss.stack_key])
            _say("compiled, as runs before these")
        elif steps_left <= LAST_TIMED:
            _say("eager: too few steps to time")

    def __call__(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        taken = []
        start = 0
        while start < len(scalars):
            stop = start + self._until_decided() if self.decide else len(scalars)
            part = some.part(start, stop)
            arguments = part, noise.at(step=part.first), scalars[start:stop], state
            taken.append(self._timed(*arguments) if self.decide else self.take(*arguments))
            state = taken[-1].state
            start = stop
        return joined(taken)

    def _until_decided(self) -> int:
        """Steps until they are timed, or until there is enough of that."""
        return (FIRST_TIMED if self.num_taken < FIRST_TIMED else LAST_TIMED) - self.num_taken

    def _timed(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        start = time.perf_counter()
        taken = self.take(some, noise, scalars, state)
        seconds = (time.perf_counter() - start) / len(scalars)
        if self.num_taken >= FIRST_TIMED:
            self.seconds += [seconds] * len(scalars)
        self.num_taken += len(scalars)
        if self.num_taken == LAST_TIMED and self.decide:
            median, self.seconds, self.num_taken = statistics.median(self.seconds), [], 0
            self.decide(median, some, noise, scalars, state)
        return taken

    def _try(
        self,
        eager: float,
        some: Minibatches,
        noise: Noise,
        scalars: Sequence[Scalars],
        state: State,
    ) -> None:
        """Compile, if the time that this may save is more than it takes."""
        self.decide = None
        saved_a_step = min(eager, ASSUMED_DISPATCH + ASSUMED_SAVING * eager)
        saved = saved_a_step * (self.steps_left - LAST_TIMED)
        cost = 0.0 if self.loss.stack_key in _graphs else _cost()
        if saved <= cost:
            _say(f"eager: compiling takes {cost:.0f} s and may save {saved:.1f} s")
            return
        try:
            self._compiled(_graph(self.model, self.loss, some, noise, scalars, state))
            self.decide = functools.partial(self._compare, eager)
        except Exception as error:  # whatever stops a compiler, the eager step goes on
            _slower[self.loss.stack_key] = 0
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            _say(f"eager: it could not be compiled: {reason}")

    def _compiled(self, graph: Graph) -> None:
        self.take = CompiledBlocks(self.model, self.loss, self.descend, graph)

    def _compare(self, eager: float, compiled: float, *_: object) -> None:
        self.decide = None
        key, num_runs = self.loss.stack_key, self.model.num_runs
        ratio = f"{compiled / eager:.2f} of the eager step's time"
        if compiled < eager:
            _faster[key] = max(num_runs, _faster.get(key, 0))
            _say(f"compiled: {ratio}")
        else:
            _slower[key] = min(num_runs, _slower.get(key, num_runs))
            self.take = self.eager
            _say(f"eager: compiled it took {ratio}")


def _cost() -> float:
    """Seconds of compiling, by what it took before."""
    return max((g.seconds for g in _graphs.values() if not g.from_disk), default=ASSUMED_SECONDS)


def _graph(
    model: VAE,
    loss: Loss,
    some: Minibatches,
    noise: Noise,
    scalars: Sequence[Scalars],
    state: State,
) -> Graph:
    """That of runs like these; made now, of their first step, where there is none."""
    if loss.stack_key not in _graphs:
        first = scalars[0].with_state(state)
        _graphs[loss.stack_key] = compile_step(model, loss, some[0], noise, first)
        made = _graphs[loss.stack_key]
        _say(f"{'found on disk' if made.from_disk else 'compiled'} in {made.seconds:.1f} s")
    return _graphs[loss.stack_key]


COMPILE: Registry[MakeBlocks] = Registry("way to compile")
COMPILE.add("auto", auto)
COMPILE.add("always", always)
COMPILE.add("never", never)


def _say(way: str) -> None:
    note("training step", way)
