"""A step as a graph that no compiler has seen, and what two ways of taking steps must agree on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data
from vaebench.data import Dataset
from vaebench.models import VAE
from vaebench.ops import c
from vaebench.ops.noise import Noise
from vaebench.training.descent import Descent
from vaebench.training.loop import training_steps
from vaebench.training.minibatches import Minibatches
from vaebench.training.scalars import Scalars, State
from vaebench.training.step import Averages, Block, Loss, MakeBlocks, TakeBlock, Taken
from vaebench.training.stepping.compiled.trace import Trace, trace_step, varying
from vaebench.training.stepping.eager import OneByOne, drop, put


class InterpretedStep:
    """EagerStep by the graph of one run: its operations one by one, for run after run."""

    def __init__(self, model: VAE, loss: Loss, trace: Trace) -> None:
        self.trace, self.state = trace, loss.objective.state
        self.parameters = list(model.parameters())
        self.fixed = [*(p.detach() for p in self.parameters), *model.buffers()]

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        drop(self.parameters)
        numbers = [draw.at(noise).to(x) for draw in self.trace.draws]  # [(K,) S, B, D]
        values = [_of_runs(value, x) for value in varying(scalars)]
        with torch.no_grad():
            runs = [
                self.trace.graph(
                    *(t[s : s + 1] for t in (*self.fixed, x)),  # of buffers too, which it moves
                    *(t[..., s : s + 1, :, :].contiguous() for t in numbers),
                    *(value[s : s + 1] for value in values),
                )
                for s in range(len(x))
            ]
        loss, kl, distortion, *others = map(torch.cat, zip(*runs, strict=True))
        rest = iter(others)
        put(self.parameters, [next(rest) if moved else None for moved in self.trace.moved])
        state = [column for together in rest for column in together.split(1, -1)]
        return Taken(loss, Averages(kl, distortion), dict(zip(self.state, state, strict=True)))


def _of_runs(value: Tensor | float, x: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else x.new_full((len(x), 1), value)


class Interpreted:
    """A way to take blocks: by a graph that is traced on the first step."""

    def __init__(self, model: VAE, loss: Loss, descend: Descent, steps_left: int) -> None:
        self.model, self.loss, self.descend = model, loss, descend
        self.trace: Trace | None = None

    def __call__(
        self, some: Minibatches, noise: Noise, scalars: Sequence[Scalars], state: State
    ) -> Block:
        if self.trace is None:
            first = scalars[0].with_state(state)
            x = next(some.microbatches(0, self.loss.num_microbatches))
            self.trace = trace_step(self.model, self.loss, x, noise, first)
            self.take = interpreted(self.model, self.loss, self.descend, self.trace)
        return self.take(some, noise, scalars, state)


def interpreted(model: VAE, loss: Loss, descend: Descent, trace: Trace) -> TakeBlock:
    """CompiledBlocks in any precision."""
    return OneByOne(InterpretedStep(model, loss, trace), descend, loss.num_microbatches)


def graph_of(configs: Sequence[RunConfig], dtype: torch.dtype = torch.float64) -> Trace:
    """The graph that the first step of a stack is traced to."""
    made: list[Interpreted] = []

    def make_blocks(*arguments: Any) -> Interpreted:
        made.append(Interpreted(*arguments))
        return made[0]

    dataset = load_data(configs[0].data)
    model = _stack(configs, dataset, dtype)
    next(training_steps(model, configs, dataset, make_blocks))
    assert made[0].trace is not None
    return made[0].trace


def _stack(configs: Sequence[RunConfig], dataset: Dataset, dtype: torch.dtype) -> VAE:
    """Buffers are in float64 whatever the parameters."""
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    return model.double() if dtype == torch.float64 else model


def by(trace: Trace) -> MakeBlocks:
    """A way to take blocks: by a graph that there is."""
    return lambda model, loss, descend, steps_left: interpreted(model, loss, descend, trace)


def _cannot_compile() -> str:
    """Why no step can be compiled here, or nothing."""
    compiler = os.environ.get("CXX", "g++")
    return c.problem() or ("" if shutil.which(compiler) else f"there is no {compiler}")


needs_compiler = pytest.mark.skipif(bool(_cannot_compile()), reason=_cannot_compile())
OF_COMPILING = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning:torch.jit"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning"),
]
"""PyTorch's compiler warns of itself."""


@dataclass(frozen=True)
class History:
    """All that the steps of a stack gave."""

    losses: Tensor  # [T, S]
    rates: Tensor  # [N, S, B], of the last step of each of N blocks
    distortions: Tensor  # [N, S, B]
    states: list[State]
    tensors: dict[str, Tensor]
    """Parameters and buffers after the last step, by name."""


def history(
    configs: Sequence[RunConfig],
    make_blocks: MakeBlocks,
    dtype: torch.dtype = torch.float64,
    at_once: int = 1,
) -> History:
    """Train to the end. In float64 two ways of computing one formula agree to 12 digits."""
    dataset = load_data(configs[0].data)
    model = _stack(configs, dataset, dtype)
    steps = list(training_steps(model, configs, dataset, make_blocks, at_once=at_once))
    return History(
        torch.cat([step.losses for step in steps]),
        torch.stack([step.terms.kl_or_estimate.detach() for step in steps]),
        torch.stack([step.terms.distortion.detach() for step in steps]),
        [step.progress.state or {} for step in steps],
        {name: t.detach().clone() for name, t in model.state_dict().items()},
    )


def assert_alike(a: History, b: History, *, rtol: float, atol: float) -> None:
    """Every number of two histories."""
    assert a.losses.shape == b.losses.shape
    torch.testing.assert_close(a.__dict__, b.__dict__, rtol=rtol, atol=atol)
