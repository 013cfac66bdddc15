"""Many steps of a stack in one call of C, which calls the graph: native/stride.c."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar
from vaebench.models import VAE
from vaebench.ops import c as native
from vaebench.ops.noise import Noise
from vaebench.ops.noise_tape import Asked
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Averages, Loss, Stride, joined
from vaebench.training.stepping.compiled import layout
from vaebench.training.stepping.compiled.layout import address
from vaebench.training.stepping.compiled.library import Graph
from vaebench.training.stepping.compiled.trace import varying

NUMBERS_BYTES = 4 << 20
"""Of random numbers that are made at once: they are to be in the cache when they are used."""
NUM_MEASURED = 3
"""Outputs of a graph before the gradients: loss, kl_or_estimate, distortion."""


class CompiledStride:
    """Takes strides by a graph: each run all its steps, then the next run.

    C reads and moves parameters, buffers and Adam's moments where they lie.
    """

    def __init__(self, model: VAE, loss: Loss, descend: Descent, graph: Graph) -> None:
        self.graph, self.descend, self.state_names = graph, descend, loss.objective.state
        self.fixed = [t.detach()[None] for t in (*model.parameters(), *model.buffers())]
        of_a_run = [(t.dtype, t[0, :1].shape) for t in self.fixed]
        expected = [(t.dtype, t.shape) for t in graph.example[: len(of_a_run)]]
        assert of_a_run == expected, "the graph is that of another model"
        self.shapes = [layout.Shape(example) for example in graph.example]
        self.parameters = _parameters(model, descend, graph.moved)
        self.rates = layout.doubles(*itertools.chain(*zip(*descend.adam, strict=True)))
        self.limits = layout.doubles(*descend.limits.tolist())
        numbers = sum(math.prod(asked.sizes) for asked in graph.asked) * model.num_runs
        self.at_once = max(1, NUMBERS_BYTES // max(1, 4 * numbers))
        self.run = layout.function(graph.code, layout.RUN)
        functions = [layout.function(graph.code, name) for name in layout.TORCH]
        native.functions().vaebench_use_torch((layout.POINTER * len(functions))(*functions))

    def __call__(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Stride:
        taken = []
        for start in range(0, len(scalars), self.at_once):
            part = some.part(start, start + self.at_once)
            chosen = scalars[start : start + self.at_once]
            taken.append(self._take(part, noise.at(step=part.first), chosen, state))
            state = taken[-1].state
        return joined(taken)

    def _take(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Stride:
        num_steps, num_runs, batch = some.rows.shape
        like, num_pixels = self.fixed[0], some.images.shape[1]
        state = {name: state[name].clone() for name in self.state_names}
        x = like.new_empty(1, 1, batch, num_pixels)  # filled anew for each step
        numbers = [_drawn(asked, noise, num_steps).to(like) for asked in self.graph.asked]
        values = [_over_steps(series, like) for series in _series(scalars, state)]
        given = [*self.fixed, x, *numbers, *values]
        inputs = [shape.input(t) for shape, t in zip(self.shapes, given, strict=True)]
        in_c = (layout.Input * len(inputs))(*inputs)
        first_state = len(given) - len(values) + _num_varying(scalars[0])
        states = layout.longs(*range(first_state, first_state + len(state)))
        losses, norms = like.new_empty(num_steps, num_runs), like.new_empty(num_runs)
        measured = Averages(*(like.new_empty(num_runs, batch) for _ in range(2)))
        images, rows, problem = some.images.contiguous(), some.rows.contiguous(), layout.LONG(0)
        work = layout.Stride(
            run=self.run,
            model=self.graph.model,
            num_steps=num_steps,
            num_runs=num_runs,
            num_inputs=len(inputs),
            num_outputs=NUM_MEASURED + len(self.parameters) + bool(state),
            num_parameters=len(self.parameters),
            num_states=len(state),
            inputs=address(in_c),
            parameters=address(self.parameters),
            states=address(states),
            minibatch=len(self.fixed),
            images=images.data_ptr(),
            rows=rows.data_ptr(),
            batch=batch,
            pixels=num_pixels,
            rates=address(self.rates),
            limits=address(self.limits),
            count=self.descend.moments.count.item(),
            losses=losses.data_ptr(),
            norms=norms.data_ptr(),
            measured=(measured.kl_or_estimate.data_ptr(), measured.distortion.data_ptr()),
            problem=address(problem),
        )
        native.functions().vaebench_stride(ctypes.byref(work))
        if problem.value:
            raise RuntimeError(f"a compiled step failed: {self.graph.last_error()}")
        self.descend.moments.count.add_(num_steps)
        return Stride(losses, measured, norms, state)


def _parameters(
    model: VAE, descend: Descent, moved: Sequence[bool]
) -> ctypes.Array[layout.Parameter]:
    """Those that have gradients, where C finds them."""
    main = {id(p) for p in model.main_parameters()}
    moments = descend.moments
    found = zip(model.parameters(), moments.first, moments.second, moved, strict=True)
    chosen = [
        layout.Parameter(
            *(t.data_ptr() for t in (parameter, first, second)),
            numbers=parameter[0].numel(),
            is_main=id(parameter) in main,
        )
        for parameter, first, second, has_gradient in found
        if has_gradient
    ]
    return (layout.Parameter * len(chosen))(*chosen)


def _drawn(asked: Asked, noise: Noise, num_steps: int) -> Tensor:
    """Random numbers of some steps: [T, S, ...], what is one run's at one step side by side."""
    steps = range(noise.step, noise.step + num_steps)
    made = torch.stack([asked.at(noise.at(step=step)) for step in steps])  # [T, (K,) S, B, D]
    return made.movedim(-3, 1).contiguous()


def _series(scalars: Sequence[Scalars], state: State) -> Iterator[tuple[Scalar, ...]]:
    """The values over the steps of each scalar that a graph is given."""
    return zip(*(varying(of_step.with_state(state)) for of_step in scalars), strict=True)


def _over_steps(values: Sequence[Scalar], like: Tensor) -> Tensor:
    """[T, S, 1], with 1 in place of T or S where there is one for all."""
    first = values[0]
    if isinstance(first, Tensor):
        if all(value is first for value in values):
            return first[None]
        tensors = [value for value in values if isinstance(value, Tensor)]
        assert len(tensors) == len(values), "a trajectory is of one kind"
        return torch.stack(tensors).contiguous()
    if all(value == first for value in values):
        return like.new_full((1, 1, 1), first)
    return torch.tensor(values).to(like)[:, None, None]


def _num_varying(scalars: Scalars) -> int:
    """Hyperparameters of the objective that a graph is given: the state comes after them."""
    return sum(not isinstance(value, int) for value in scalars.objective.values())
