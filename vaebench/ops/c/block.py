"""A block of training steps in one call of C, which calls a compiled graph: block.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.adam import AdamScalars
from vaebench.ops.c.declarations import structure
from vaebench.ops.c.graph import CompiledGraph

TYPES = {
    torch.uint8: 0,
    torch.int32: 3,
    torch.int64: 4,
    torch.float32: 6,
    torch.float64: 7,
    torch.bool: 11,
    torch.bfloat16: 15,
}
"""The numbers by which PyTorch's interface for C knows its types."""


class Moved(NamedTuple):
    """A parameter [S, ...] that has a gradient, with its two moments and moving average."""

    weight: Tensor
    first: Tensor
    second: Tensor
    average: Tensor | None
    sum: Tensor | None
    """Room for the sum of gradients of one run, where a step has several parts."""
    is_main: bool
    """Whether its gradient counts for the norm, and is clipped."""


class Results(NamedTuple):
    """What a block of T steps of A parts writes: float32, dense."""

    losses: Tensor  # [T, S]
    norms: Tensor  # [S] of the last step's gradients, before clipping
    kl_or_estimate: Tensor  # [S, A B] of the last step
    distortion: Tensor  # [S, A B] of the last step


class BlockInC:
    """Takes blocks of steps of S runs by a compiled graph.

    C reads and moves parameters and moments where they lie: their memory must stay where it is.
    """

    def __init__(
        self,
        graph: CompiledGraph,
        moved: Sequence[Moved],
        limits: Sequence[float],
    ) -> None:
        """`limits` [S]: of the gradients' norms."""
        self.graph, self.moved = graph, moved  # kept, so that no memory of them is freed
        self.num_runs = len(limits)
        parameter = structure("Parameter")
        self.parameters = (parameter * len(moved))(*(parameter(*_fields(one)) for one in moved))
        self.limits = (ctypes.c_double * self.num_runs)(*limits)

    def __call__(
        self,
        inputs: Sequence[Tensor],
        minibatch: int,
        states: Sequence[int],
        images: ctypes.Structure,
        rows: Tensor,
        adam: Sequence[Sequence[AdamScalars]],
        count: float,
        results: Results,
    ) -> None:
        """Takes T steps of every run.

        `inputs`: of the graph, [T, A, S, ...] each, 1 where there is one for all; of these
        `minibatch` is filled with the `images` (`ops.c.images`) that `rows` [T, S, A, B] name, and
        `states` take what the last output has for the next step. `adam`: scalars of each run, for
        each step or one for all. `count`: steps before. Raises RuntimeError where PyTorch fails.
        """
        of_adam = torch.tensor(adam, dtype=torch.float64)
        in_c = [_input(values) for values in inputs]
        all_inputs = (structure("Input") * len(in_c))(*in_c)
        state_inputs = (ctypes.c_int64 * len(states))(*states)
        problem = ctypes.c_int64(0)
        work = structure("Work")(
            step=self.graph.step,
            done=self.graph.done,
            num_steps=len(rows),
            num_parts=rows.shape[2],
            num_runs=self.num_runs,
            num_inputs=len(in_c),
            num_outputs=3 + len(self.moved) + bool(states),  # 3: loss, KL, distortion
            num_parameters=len(self.moved),
            num_states=len(states),
            inputs=ctypes.addressof(all_inputs),
            parameters=ctypes.addressof(self.parameters),
            states=ctypes.addressof(state_inputs),
            minibatch=minibatch,
            images=ctypes.addressof(images),
            rows=rows.data_ptr(),
            batch=rows.shape[3],
            adam=of_adam.data_ptr(),
            adam_per_step=self.num_runs if len(adam) > 1 else 0,
            limits=ctypes.addressof(self.limits),
            count=count,
            losses=results.losses.data_ptr(),
            norms=results.norms.data_ptr(),
            measured=(results.kl_or_estimate.data_ptr(), results.distortion.data_ptr()),
            problem=ctypes.addressof(problem),
        )
        c.functions().vaebench_block(ctypes.byref(work))
        if problem.value:
            raise RuntimeError(f"a compiled step failed: {self.graph.problem()}")


def _input(values: Tensor) -> ctypes.Structure:
    """An input of values [T, A, S, ...], dense from the fourth axis on."""
    strides = (
        values.stride(axis) * values.element_size() if values.shape[axis] > 1 else 0
        for axis in range(3)
    )
    return structure("Input")(values.data_ptr(), *strides)


def _fields(moved: Moved) -> tuple[int, ...]:
    """The fields of `Parameter` in block.c."""
    tensors = (moved.weight, moved.first, moved.second, moved.average, moved.sum)
    places = (0 if t is None else t.data_ptr() for t in tensors)
    return *places, moved.weight[0].numel(), moved.is_main
