"""The step of `vaebench.step` as one compiled graph: loss and gradients of a whole stack.

The step is traced once, by running it on stand-ins for all that changes between steps and between
stacks: parameters, minibatch, random numbers, scalars. So one graph serves every stack of the same
shape, and PyTorch keeps its code on disk for the next process.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vaebench import densities
from vaebench.hyper import Scalar
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.step import Averages, Loss, Scalars, Taken, drop, put
from vaebench.tape import Asked, Player, Recorder

FUSED_BIAS = {
    torch.ops.aten.baddbmm.default: lambda bias, x, weight: torch.bmm(x, weight) + bias,
}
"""The sum joins the activation that follows, where baddbmm writes the bias before it multiplies."""
OPTIONS: dict[str, Any] = {"cpp_wrapper": True}
"""Kernels and products are called by C++, not by Python, are built as one library, and know all
sizes; without it those that the graph does not name, such as a hidden width, stay open."""


@dataclass(frozen=True)
class Graph:
    """A compiled step: (parameters, buffers, x, numbers, scalars) in a row -> loss [S],
    kl_or_estimate and distortion [S, B], gradients, state."""

    run: Callable[..., Sequence[Any]]
    asked: tuple[Asked, ...]
    """The random numbers of a step."""
    seconds: float
    """What compiling took."""


class CompiledStep:
    """As EagerStep, by a graph."""

    def __init__(self, model: VAE, loss: Loss, graph: Graph) -> None:
        self.graph, self.state = graph, loss.objective.state
        self.parameters = list(model.parameters())
        self.fixed = [*(p.detach() for p in self.parameters), *model.buffers()]
        # Of constants alone: a schedule or a state gives another tensor at every step.
        self.constant = functools.cache(functools.partial(_stacked, model))

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        drop(self.parameters)
        numbers = (asked.at(noise).to(x) for asked in self.graph.asked)
        values = (
            v.contiguous() if isinstance(v, Tensor) else self.constant(v) for v in _varying(scalars)
        )
        with torch.no_grad():
            loss, kl, distortion, *rest = self.graph.run(*self.fixed, x, *numbers, *values)
        put(self.parameters, rest[: len(self.parameters)])
        state = zip(self.state, rest[len(self.parameters) :], strict=True)
        return Taken(loss, Averages(kl, distortion), dict(state))


@dataclass(frozen=True)
class Trace:
    """A step as a graph of PyTorch's operations, with tensors to try it on."""

    graph: torch.fx.GraphModule
    example: list[Any]
    asked: tuple[Asked, ...]


def trace_step(model: VAE, loss: Loss, x: Tensor, noise: Noise, scalars: Scalars) -> Trace:
    """The arguments are those of a step; nothing is changed."""
    from torch.fx.experimental.proxy_tensor import make_fx  # half a second, and few runs compile

    step = _Step(model, loss)
    tensors = dict(step.named_parameters()) | dict(step.named_buffers())
    num_learned = len(list(model.parameters()))
    asked = _asked(step, tensors, x, noise, scalars)

    def body(*inputs: Tensor) -> list[Tensor | None]:
        given = iter(inputs)
        named = {name: next(given) for name in tensors}
        learned = [t.requires_grad_() for t in itertools.islice(named.values(), num_learned)]
        x = next(given)
        tape = Player(iter([next(given) for _ in asked]))
        arguments = x, replace(noise, tape=tape), _replaced(scalars, given)
        mean_loss, total, *others = torch.func.functional_call(step, named, arguments)
        gradients = torch.autograd.grad(total, learned, allow_unused=True)
        found = [mean_loss, *others[:2], *gradients, *others[2:]]
        return [None if t is None else t.detach() for t in found]

    numbers = (draw.at(noise).to(x) for draw in asked)
    values = (v if isinstance(v, Tensor) else _stacked(model, v) for v in _varying(scalars))
    example = [t.detach().clone() for t in (*tensors.values(), x, *numbers, *values)]
    # On stand-ins of no values, some operations (one_hot) do without a look at them. Tables that an
    # objective keeps are real: recording the step has made them.
    tracer = make_fx(body, FUSED_BIAS, tracing_mode="fake", _allow_non_fake_inputs=True)
    graph = tracer(*example)
    return Trace(graph, example, asked)


def compile_step(model: VAE, loss: Loss, x: Tensor, noise: Noise, scalars: Scalars) -> Graph:
    """A graph for stacks of this shape. The arguments are those of a step; nothing is changed."""
    from torch._guards import TracingContext, tracing
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    start = time.perf_counter()
    trace = trace_step(model, loss, x, noise, scalars)
    # PyTorch keeps code on disk only for a graph that has a record of its shapes: all are fixed.
    shapes = FakeTensorMode(shape_env=ShapeEnv(assume_static_by_default=True))
    with torch.no_grad():
        with tracing(TracingContext(shapes)):
            run = torch._inductor.compile(trace.graph, trace.example, options=OPTIONS)
        run(*trace.example)
    return Graph(run, trace.asked, time.perf_counter() - start)


def _asked(
    step: _Step, tensors: Mapping[str, Tensor], x: Tensor, noise: Noise, scalars: Scalars
) -> tuple[Asked, ...]:
    """The random numbers that a step asks for."""
    recorder = Recorder(noise.step)
    copies = {name: t.detach().clone() for name, t in tensors.items()}
    arguments = x, replace(noise, tape=recorder), scalars
    torch.func.functional_call(step, copies, arguments)
    return tuple(recorder.asked)


class _Step(nn.Module):
    """The step with the model as its part, whose tensors functional_call can exchange."""

    def __init__(self, model: VAE, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, noise: Noise, scalars: Scalars) -> list[Tensor]:
        """Loss of each run, what is differentiated, kl_or_estimate, distortion, the state."""
        terms = self.loss.terms(self.model, x, noise, scalars, ops=densities)
        loss, total = self.loss(terms, scalars)
        state = self.loss.next_state(terms, scalars)
        ordered = (state[name] for name in self.loss.objective.state)
        return [loss, total, terms.kl_or_estimate, terms.distortion, *ordered]


def _varying(scalars: Scalars) -> Iterator[Scalar]:
    """All but the counts, which are part of the graph."""
    return (value for value in scalars.values() if not isinstance(value, int))


def _replaced(scalars: Scalars, values: Iterator[Tensor]) -> Scalars:
    """Other values for those that vary, in the order of `_varying`."""
    return scalars.mapped(lambda value: value if isinstance(value, int) else next(values))


def _stacked(model: VAE, value: float) -> Tensor:
    """The same for every run, in the precision of the model: [S, 1]."""
    return next(model.parameters()).new_full((model.num_runs, 1), value)
