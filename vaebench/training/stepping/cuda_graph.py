"""The step of `vaebench.training.step` as one CUDA graph: one launch for all its kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar
from vaebench.models import VAE
from vaebench.ops import note
from vaebench.ops.gpu.launch import extra_steps, key_tensor
from vaebench.ops.noise import Noise
from vaebench.training.scalars import Scalars
from vaebench.training.step import Averages, Loss, Taken
from vaebench.training.stepping.eager import EagerStep, put

WARM_UP = 3
"""Steps before the one that is captured: they set up what libraries set up when first used."""


class CapturedStep:
    """An EagerStep, captured once and replayed, for a model on a GPU.

    What changes between steps is copied to where the graph reads it: the minibatch, scalars on a
    schedule, and how many steps after the captured one the noise is to be read. A step that cannot
    be captured, as one that draws on the CPU, stays eager.
    """

    def __init__(self, model: VAE, loss: Loss) -> None:
        self.eager = EagerStep(model, loss)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.eager_calls = WARM_UP

    def __call__(self, x: Tensor, noise: Noise, scalars: Scalars) -> Taken:
        if self.graph is None:
            self.eager_calls -= 1
            if self.eager_calls == 0:
                self.graph = self._captured(x, noise, scalars)
            return self.eager(x, noise, scalars)
        self.x.copy_(x)
        for copy, value in zip(_tensors(self.scalars), _tensors(scalars), strict=True):
            copy.copy_(value)
        steps_on = extra_steps(x.device)
        steps_on.fill_(noise.step - self.step)
        self.graph.replay()
        steps_on.zero_()  # for what else draws on this device
        put(self.eager.parameters, self.gradients)
        return Taken(self.taken.loss.clone(), self.taken.measured, self.taken.state)

    def _captured(self, x: Tensor, noise: Noise, scalars: Scalars) -> torch.cuda.CUDAGraph | None:
        """Record the kernels of a step in a graph; nothing is computed."""
        self.x, self.scalars, self.step = x.clone(), scalars.mapped(_copied), noise.step
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                loss, terms, state = self.eager(self.x, noise, self.scalars)
                # Within the graph: what is computed from its tensors outside is computed once.
                kept = Averages(terms.kl_or_estimate.detach(), terms.distortion.detach())
                self.taken = Taken(loss, kept, state)
        except RuntimeError as error:
            note("training step", f"eager: no CUDA graph: {str(error).splitlines()[0]}")
            return None
        self.keys = key_tensor(noise.keys, x.device)  # the graph knows its address alone
        self.gradients = [p.grad for p in self.eager.parameters]
        note("training step", "one CUDA graph")
        return graph


def _tensors(scalars: Scalars) -> list[Tensor]:
    """The scalars that may change from step to step; a number is part of the graph."""
    return [value for value in scalars.values() if isinstance(value, Tensor)]


def _copied(value: Scalar) -> Scalar:
    return value.clone() if isinstance(value, Tensor) else value
