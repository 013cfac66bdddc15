"""Whether to compile a step: never, always, or where the steps that are left pay for it."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence

from vaebench import step
from vaebench.batches import Minibatches
from vaebench.compiled import CompiledStride, Graph, compile_step
from vaebench.kernels import note
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.optimise import Descent
from vaebench.registry import Registry
from vaebench.step import Loss, MakeStride, OneByOne, Scalars, State, Stride, TakeStride

FIRST_TIMED, LAST_TIMED = 10, 40
"""The steps whose median time is taken for that of all."""
ASSUMED_DISPATCH, ASSUMED_SAVING = 0.5e-3, 0.15
"""Seconds, and share of the rest, that compiling takes off a step, before any graph has been timed:
see results/reference/steps."""
ASSUMED_SECONDS = 15.0
"""Of compiling, before anything has been compiled in this process."""


_graphs: dict[str, Graph] = {}
"""By stack key: one serves every run of its shape."""
_given_up: set[str] = set()
"""Those whose graph was slower than the steps it was made for, or could not be made."""


def never(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeStride:
    """Operation by operation."""
    _say("eager")
    return step.eager(model, loss, descend, steps_left)


def auto(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeStride:
    """Compiled where that pays; on a GPU, one CUDA graph."""
    if _on_cpu(model):
        return Auto(model, loss, descend, steps_left)
    return _captured(model, loss, descend, steps_left)


def always(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeStride:
    """Compiled from the first step on; on a GPU, one CUDA graph."""
    if _on_cpu(model):
        return Always(model, loss, descend, steps_left)
    return _captured(model, loss, descend, steps_left)


def _on_cpu(model: VAE) -> bool:
    return next(model.parameters()).device.type == "cpu"


def _captured(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeStride:
    try:
        from vaebench.captured import CapturedStep
    except ImportError as error:
        _say(f"eager: a CUDA graph needs {error.name}")
        return step.eager(model, loss, descend, steps_left)
    return OneByOne(CapturedStep(model, loss), descend)


class Always:
    """Compiled steps from the first one on."""

    def __init__(self, model: VAE, loss: Loss, descend: Descent, steps_left: int) -> None:
        self.model, self.loss, self.descend = model, loss, descend
        self.take: TakeStride | None = None

    def __call__(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Stride:
        if self.take is None:
            graph = _graph(self.model, self.loss, some, noise, scalars, state)
            self.take = CompiledStride(self.model, self.loss, self.descend, graph)
        return self.take(some, noise, scalars, state)


class Auto:
    """Eager steps, then compiled ones where the steps that are left pay for compiling.

    Both are timed: where the compiled step is no faster, the eager one takes over again.
    """

    def __init__(self, model: VAE, loss: Loss, descend: Descent, steps_left: int) -> None:
        self.model, self.loss, self.descend = model, loss, descend
        self.steps_left = steps_left
        self.eager = step.eager(model, loss, descend, steps_left)
        self.take: TakeStride = self.eager
        if steps_left <= LAST_TIMED:
            _say("eager: too few steps to time")
        self.seconds: list[float] = []
        self.decide: Callable[..., None] | None = self._try
        if loss.stack_key in _given_up:
            self.decide = None
            _say("eager, as runs before these")
        elif loss.stack_key in _graphs:
            self._compiled(_graphs[loss.stack_key])
            self.decide = None
            _say("compiled, as runs before these")

    def __call__(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Stride:
        start = time.perf_counter()
        taken = self.take(some, noise, scalars, state)
        if self.decide:
            seconds = time.perf_counter() - start
            self.seconds += [seconds / len(scalars)] * len(scalars)
            if len(self.seconds) >= LAST_TIMED:
                median, self.seconds = statistics.median(self.seconds[FIRST_TIMED:]), []
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
        cost = max((graph.seconds for graph in _graphs.values()), default=ASSUMED_SECONDS)
        if saved <= cost:
            _say(f"eager: compiling takes {cost:.0f} s and may save {saved:.1f} s")
            return
        try:
            self._compiled(_graph(self.model, self.loss, some, noise, scalars, state))
            self.decide = functools.partial(self._compare, eager)
        except Exception as error:  # whatever stops a compiler, the eager step goes on
            _given_up.add(self.loss.stack_key)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            _say(f"eager: it could not be compiled: {reason}")

    def _compiled(self, graph: Graph) -> None:
        self.take = CompiledStride(self.model, self.loss, self.descend, graph)

    def _compare(self, eager: float, compiled: float, *_: object) -> None:
        self.decide = None
        ratio = f"{compiled / eager:.2f} of the eager step's time"
        if compiled < eager:
            _say(f"compiled: {ratio}")
        else:
            _given_up.add(self.loss.stack_key)
            self.take = self.eager
            _say(f"eager: compiled it took {ratio}")


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
        _say(f"compiled in {_graphs[loss.stack_key].seconds:.1f} s")
    return _graphs[loss.stack_key]


COMPILE: Registry[MakeStride] = Registry("way to compile")
COMPILE.add("auto", auto)
COMPILE.add("always", always)
COMPILE.add("never", never)


def _say(way: str) -> None:
    note("training step", way)
