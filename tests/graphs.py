"""A step as a graph that no compiler has seen, and what two ways of taking a step must agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.compiled import CompiledStep, Graph, trace_step
from vaebench.config import RunConfig
from vaebench.initial import build_stack
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.stack import load_data
from vaebench.step import Loss, MakeStep, Scalars, Taken
from vaebench.train import training_steps


def interpreted(model: VAE, loss: Loss, x: Tensor, noise: Noise, scalars: Scalars) -> Graph:
    """As compile_step, for the graph's operations one by one."""
    trace = trace_step(model, loss, x, noise, scalars)
    return Graph(trace.graph, trace.asked, seconds=1.0)


class Interpreted:
    """A way to take steps: by a graph that is traced on the first one."""

    def __init__(self, model: VAE, loss: Loss, steps_left: int) -> None:
        self.model, self.loss = model, loss
        self.take: CompiledStep | None = None

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        if self.take is None:
            graph = interpreted(self.model, self.loss, x, noise, scalars)
            self.take = CompiledStep(self.model, self.loss, graph)
        return self.take(x, noise, scalars)


def graph_of(configs: Sequence[RunConfig], dtype: torch.dtype = torch.float64) -> Graph:
    """The graph that the first step of a stack is traced to."""
    made: list[Interpreted] = []

    def make_step(model: VAE, loss: Loss, steps_left: int) -> Interpreted:
        made.append(Interpreted(model, loss, steps_left))
        return made[0]

    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(dtype)
    next(training_steps(model, configs, dataset, make_step))
    assert made[0].take is not None
    return made[0].take.graph


def by(graph: Graph) -> MakeStep:
    """A way to take steps: by a graph that there is."""
    return lambda model, loss, steps_left: CompiledStep(model, loss, graph)


@dataclass(frozen=True)
class History:
    """All that the steps of a stack gave."""

    losses: Tensor  # [T, S]
    rates: Tensor  # [T, S, B]
    distortions: Tensor  # [T, S, B]
    states: list[dict[str, Tensor]]
    tensors: dict[str, Tensor]
    """Parameters and buffers after the last step, by name."""


def history(
    configs: Sequence[RunConfig], make_step: MakeStep, dtype: torch.dtype = torch.float64
) -> History:
    """Train to the end. In float64 two ways of computing one formula agree to 12 digits."""
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(dtype)
    steps = list(training_steps(model, configs, dataset, make_step))
    return History(
        torch.stack([step.loss for step in steps]),
        torch.stack([step.terms.kl_or_estimate.detach() for step in steps]),
        torch.stack([step.terms.distortion.detach() for step in steps]),
        [step.progress.state or {} for step in steps],
        {name: t.detach().clone() for name, t in model.state_dict().items()},
    )


def assert_alike(a: History, b: History, *, rtol: float, atol: float) -> None:
    """Every number of two histories."""
    assert a.losses.shape == b.losses.shape
    torch.testing.assert_close(a.__dict__, b.__dict__, rtol=rtol, atol=atol)
