"""Compiled steps from the first one on: always, or eager ones where they cannot be compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vaebench.core.errors import first_line
from vaebench.models import VAE
from vaebench.ops import note
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Block, Loss, TakeBlock
from vaebench.training.stepping.compiled.block import CompiledBlocks
from vaebench.training.stepping.compiled.library import Graph, compile_step
from vaebench.training.stepping.eager import eager


@dataclass(frozen=True)
class Graphs:
    """The graphs that stacks were compiled to, or what stopped the compiler, by kind of step.

    One graph serves every stack of runs of its shape. It lives as long as the way that holds it, in
    a worker as long as the process.
    """

    graphs_or_faults: dict[str, Graph | str] = field(default_factory=dict)
    native_products: bool = True
    """Whether matrix products are those of ops/c/product.c, or PyTorch's."""

    def graph(
        self,
        model: VAE,
        loss: Loss,
        batches: Minibatches,
        noise: Noise,
        scalars: Sequence[Scalars],
        state: State,
    ) -> Graph:
        """The graph for runs like these, compiled now from their first step if need be.

        Raises RuntimeError with what stopped the compiler, which is not asked again.
        """
        if loss.kind not in self.graphs_or_faults:
            first = scalars[0].with_state(state)
            x = next(batches.microbatches(0, loss.num_microbatches))
            arguments = model, loss, x, noise, first, self.native_products
            try:
                self.graphs_or_faults[loss.kind] = compile_step(*arguments)
            except Exception as error:  # whatever an operation or a compiler raises
                is_worded = type(error) is RuntimeError
                name = "" if is_worded else f"{type(error).__name__}: "
                self.graphs_or_faults[loss.kind] = name + first_line(error)
        outcome = self.graphs_or_faults[loss.kind]
        if isinstance(outcome, str):
            raise RuntimeError(f"the step cannot be compiled: {outcome}")
        return outcome


class CompiledSteps:
    """Compiled steps. Raises RuntimeError at the first one where they cannot be compiled."""

    def __init__(
        self, graphs: Graphs, model: VAE, loss: Loss, descend: Descent, steps_left: int
    ) -> None:
        self.graphs, self.model, self.loss, self.descend = graphs, model, loss, descend
        self.steps_left = steps_left
        self.take: TakeBlock | None = None

    def __call__(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        if self.take is None:
            self.take = self._take_block(batches, noise, scalars, state)
        return self.take(batches, noise, scalars, state)

    def _take_block(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> TakeBlock:
        try:
            return self._compiled(batches, noise, scalars, state)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: with --compile auto its steps are eager") from error

    def _compiled(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> TakeBlock:
        graph = self.graphs.graph(self.model, self.loss, batches, noise, scalars, state)
        note("training step", "compiled")
        return CompiledBlocks(self.model, self.loss, self.descend, graph)


class CompiledOrEager(CompiledSteps):
    """Compiled steps, or eager ones where these cannot be compiled: then the record says why."""

    def _take_block(
        self, batches: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> TakeBlock:
        try:
            return self._compiled(batches, noise, scalars, state)
        except RuntimeError as error:
            note("training step", "eager")
            note("compiling", str(error))
            return eager(self.model, self.loss, self.descend, self.steps_left)
