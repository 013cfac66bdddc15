"""Whether to compile a step: never, always, or where the steps that are left pay for it."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

from torch import Tensor

from vaebench.compiled import CompiledStep, Graph, compile_step
from vaebench.kernels import note
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.registry import Registry
from vaebench.step import EagerStep, Loss, MakeStep, Scalars, Taken, TakeStep

FIRST_TIMED, LAST_TIMED = 10, 40
"""The steps whose median time is taken for that of all."""
ASSUMED_DISPATCH, ASSUMED_SAVING = 0.5e-3, 0.07
"""Seconds, and share of the rest, that compiling takes off a step, before any graph has been timed:
see results/reference/steps."""
ASSUMED_SECONDS = 15.0
"""Of compiling, before anything has been compiled in this process."""


Key = tuple[str, int]
"""Stack key and number of runs: one graph serves every stack of one shape."""

_graphs: dict[Key, Graph] = {}
_given_up: set[Key] = set()
"""Those whose graph was slower than the steps it was made for, or could not be made."""


def never(model: VAE, loss: Loss, steps_left: int) -> TakeStep:
    """Operation by operation."""
    _say("eager")
    return EagerStep(model, loss)


def auto(model: VAE, loss: Loss, steps_left: int) -> TakeStep:
    """Compiled where that pays; on a GPU, one CUDA graph."""
    return Auto(model, loss, steps_left) if _on_cpu(model) else _captured(model, loss, steps_left)


def always(model: VAE, loss: Loss, steps_left: int) -> TakeStep:
    """Compiled from the first step on; on a GPU, one CUDA graph."""
    return Always(model, loss, steps_left) if _on_cpu(model) else _captured(model, loss, steps_left)


def _on_cpu(model: VAE) -> bool:
    return next(model.parameters()).device.type == "cpu"


def _captured(model: VAE, loss: Loss, steps_left: int) -> TakeStep:
    try:
        from vaebench.captured import CapturedStep
    except ImportError as error:
        _say(f"eager: a CUDA graph needs {error.name}")
        return EagerStep(model, loss)
    return CapturedStep(model, loss, steps_left)


class Always:
    """The compiled step from the first one on."""

    def __init__(self, model: VAE, loss: Loss, steps_left: int) -> None:
        self.model, self.loss = model, loss
        self.take: TakeStep | None = None

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        if self.take is None:
            self.take = _compiled(self.model, self.loss, x, noise, scalars)
        return self.take(x, noise, scalars)


class Auto:
    """Eager steps, then compiled ones where the steps that are left pay for compiling.

    Both are timed: where the compiled step is no faster, the eager one takes over again.
    """

    def __init__(self, model: VAE, loss: Loss, steps_left: int) -> None:
        self.model, self.loss, self.steps_left = model, loss, steps_left
        self.key = loss.stack_key, model.num_runs
        self.eager = EagerStep(model, loss)
        self.take: TakeStep = self.eager
        if steps_left <= LAST_TIMED:
            _say("eager: too few steps to time")
        self.seconds: list[float] = []
        self.decide: Callable[[float, Tensor, Noise, Scalars], None] | None = self._try
        if self.key in _given_up:
            self.decide = None
            _say("eager, as a stack before this one")
        elif self.key in _graphs:
            self.take, self.decide = CompiledStep(model, loss, _graphs[self.key]), None
            _say("compiled, as a stack before this one")

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        start = time.perf_counter()
        taken = self.take(x, noise, scalars)
        if self.decide:
            self.seconds.append(time.perf_counter() - start)
            if len(self.seconds) == LAST_TIMED:
                seconds, self.seconds = statistics.median(self.seconds[FIRST_TIMED:]), []
                self.decide(seconds, x, noise, scalars)
        return taken

    def _try(self, eager: float, x: Tensor, noise: Noise, scalars: Scalars) -> None:
        """Compile, if the time that this may save is more than it takes."""
        self.decide = None
        saved_a_step = min(eager, ASSUMED_DISPATCH + ASSUMED_SAVING * eager)
        saved = saved_a_step * (self.steps_left - LAST_TIMED)
        cost = max((graph.seconds for graph in _graphs.values()), default=ASSUMED_SECONDS)
        if saved <= cost:
            _say(f"eager: compiling takes {cost:.0f} s and may save {saved:.1f} s")
            return
        try:
            self.take = _compiled(self.model, self.loss, x, noise, scalars)
            self.decide = functools.partial(self._compare, eager)
        except Exception as error:  # whatever stops a compiler, the eager step goes on
            _given_up.add(self.key)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            _say(f"eager: it could not be compiled: {reason}")

    def _compare(self, eager: float, compiled: float, *_: object) -> None:
        self.decide = None
        ratio = f"{compiled / eager:.2f} of the eager step's time"
        if compiled < eager:
            _say(f"compiled: {ratio}")
        else:
            _given_up.add(self.key)
            self.take = self.eager
            _say(f"eager: compiled it took {ratio}")


def _compiled(model: VAE, loss: Loss, x: Tensor, noise: Noise, scalars: Scalars) -> TakeStep:
    key = loss.stack_key, model.num_runs
    if key not in _graphs:
        _graphs[key] = compile_step(model, loss, x, noise, scalars)
        _say(f"compiled in {_graphs[key].seconds:.1f} s")
    return CompiledStep(model, loss, _graphs[key])


COMPILE: Registry[MakeStep] = Registry("way to compile")
COMPILE.add("auto", auto)
COMPILE.add("always", always)
COMPILE.add("never", never)


def _say(way: str) -> None:
    note("training step", way)
