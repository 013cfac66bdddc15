"""Blocks of steps by a compiled graph: run after run, all steps of a run at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar
from vaebench.models import VAE
from vaebench.ops.c.block import BlockInC, Moved, Results
from vaebench.ops.c.rows import addresses
from vaebench.ops.images import for_c
from vaebench.ops.noise import Noise
from vaebench.ops.recorded_draws import Draw
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Averages, Block, Loss, joined
from vaebench.training.stepping.compiled.library import Graph
from vaebench.training.stepping.compiled.trace import varying

NUMBERS_BYTES = 4 << 20
"""Most random numbers made at once: few enough to be in the cache when they are used."""


class CompiledBlocks:
    """Takes blocks of steps by a graph: each run all its steps, then the next run.

    C reads and moves parameters, buffers and Adam's moments where they lie.
    """

    def __init__(self, model: VAE, loss: Loss, descend: Descent, graph: Graph) -> None:
        self.model, self.graph, self.descend = model, graph, descend
        self.state_names, self.constants = loss.objective.state, loss.compiled.constants
        self.num_parts = loss.num_microbatches
        numbers = sum(math.prod(draw.sizes) for draw in graph.draws) * model.num_runs
        numbers *= self.num_parts
        self.at_once = max(1, NUMBERS_BYTES // max(1, 4 * numbers))
        self.tensors = [*model.parameters(), *model.buffers()]
        self._place()

    def __call__(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        if addresses(self.tensors) != self.places:
            self._place()  # a parameter's .data was assigned: it lies elsewhere now
        blocks = []
        for start in range(0, len(scalars), self.at_once):
            part = batches.part(start, start + self.at_once)
            chosen = scalars[start : start + self.at_once]
            blocks.append(self._take(part, noise.at(step=part.first), chosen, state))
            state = blocks[-1].state
        return joined(blocks)

    def _place(self) -> None:
        """Look up where parameters and buffers lie."""
        self.places = addresses(self.tensors)
        self.fixed = [t.detach()[None, None] for t in self.tensors]
        shapes_of_a_run = [(t.dtype, t[0, 0, :1].shape) for t in self.fixed]
        expected = [(t.dtype, t.shape) for t in self.graph.example[: len(shapes_of_a_run)]]
        assert shapes_of_a_run == expected, "the graph is that of another model"
        self.take = BlockInC(
            self.graph.code,
            _moved(self.model, self.descend, self.graph.moved, self.num_parts > 1),
            self.descend.limits.tolist(),
        )

    def _take(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        rows = batches.rows.unflatten(2, (self.num_parts, -1)).contiguous()
        num_steps, num_runs, _, batch = rows.shape
        like = self.fixed[0]
        state = {name: state[name].clone() for name in self.state_names}
        x = like.new_empty(1, 1, 1, batch, batches.images.num_pixels)  # filled anew for each part
        places = [noise.at(row=noise.first_row + part * batch) for part in range(self.num_parts)]
        numbers = [_drawn(draw, places, num_steps).to(like) for draw in self.graph.draws]
        values = [_over_steps(series, like) for series in _series(scalars, self.constants, state)]
        inputs = [*self.fixed, x, *numbers, *values]
        num_hyper = len(self.constants) + _num_varying(scalars[0])
        first_state = len(inputs) - len(values) + num_hyper
        results = Results(
            like.new_empty(num_steps, num_runs),
            like.new_empty(num_runs),
            *(like.new_empty(num_runs, self.num_parts * batch) for _ in range(2)),
        )
        self.take(
            inputs,
            minibatch=len(self.fixed),
            states=range(first_state, first_state + len(state)),
            images=for_c(batches.images.stored, batches.images.reading),
            rows=rows,
            adam=self.descend.adam_over(batches.steps),
            count=self.descend.moments.count.item(),
            results=results,
        )
        self.descend.moments.count.add_(num_steps)
        measured = Averages(results.kl_or_estimate, results.distortion)
        return Block(results.losses, measured, results.norms, state)


def _moved(model: VAE, descend: Descent, moved: Sequence[bool], with_sums: bool) -> list[Moved]:
    """The parameters that have gradients, with their moments and moving averages."""
    main = {id(p) for p in model.main_parameters()}
    moments = descend.moments
    averages: Sequence[Tensor | None] = moments.averages or [None] * len(moved)
    everything = zip(
        model.parameters(), moments.first, moments.second, averages, moved, strict=True
    )
    return [
        Moved(
            *(parameter.detach(), first, second, average),
            torch.empty_like(first[0]) if with_sums else None,
            id(parameter) in main,
        )
        for parameter, first, second, average, has_gradient in everything
        if has_gradient
    ]


def _drawn(draw: Draw, places: Sequence[Noise], num_steps: int) -> Tensor:
    """Random numbers of T steps, each of parts that read at their places: [T, A, S, ...]; those of
    a run in a part are contiguous."""
    parts = [draw.over(noise, num_steps) for noise in places]  # [T, (K,) S, B, D]
    together = torch.stack(parts, 1) if len(parts) > 1 else parts[0].unsqueeze(1)
    return together.movedim(-3, 2).contiguous()


def _series(
    scalars: Sequence[Scalars], constants: Mapping[str, float], state: State
) -> Iterator[tuple[Scalar, ...]]:
    """The values over the steps of each scalar that a graph is given; one where all are alike."""
    alike = all(of_step is scalars[0] for of_step in scalars)
    of_steps = scalars[:1] if alike else scalars
    whole = (of_step.with_constants(constants).with_state(state) for of_step in of_steps)
    return zip(*map(varying, whole), strict=True)


def _over_steps(values: Sequence[Scalar], like: Tensor) -> Tensor:
    """[T, 1, S, 1], with 1 in place of T or S where there is one for all."""
    first = values[0]
    if isinstance(first, Tensor):
        if all(value is first for value in values):
            return first[None, None]
        tensors = [value for value in values if isinstance(value, Tensor)]
        assert len(tensors) == len(values), "a trajectory is of one kind"
        return torch.stack(tensors)[:, None].contiguous()
    if all(value == first for value in values):
        return like.new_full((1, 1, 1, 1), first)
    return torch.tensor(values).to(like)[:, None, None, None]


def _num_varying(scalars: Scalars) -> int:
    """The number of hyperparameters of the objective that a graph is given, before the state."""
    return sum(not isinstance(value, int) for value in scalars.objective.values())
