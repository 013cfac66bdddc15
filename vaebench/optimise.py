"""Adam and gradient clipping for a stack of runs that never mix."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from vaebench.models import VAE


class StackAdam:
    """torch.optim.Adam (Kingma & Ba 2015), fused, with a learning rate for each run of a stack.

    Neighbouring runs with one rate are one parameter group, which holds views of their parameters.
    """

    def __init__(self, model: VAE, rates: Sequence[float]) -> None:
        self.parameters = list(model.parameters())
        ends = list(itertools.accumulate(len(list(g)) for _, g in itertools.groupby(rates)))
        self.runs = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.views = [[p.detach()[runs] for p in self.parameters] for runs in self.runs]
        groups = [
            {"params": views, "lr": rates[runs.start]}
            for views, runs in zip(self.views, self.runs, strict=True)
        ]
        self.adam = torch.optim.Adam(groups, fused=True)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        for views, runs in zip(self.views, self.runs, strict=True):
            for view, parameter in zip(views, self.parameters, strict=True):
                view.grad = None if parameter.grad is None else parameter.grad[runs]
        self.adam.step()


def gradient_norms(model: VAE) -> Tensor:
    """The norm of the gradient of each run's loss: [S]."""
    grads = [p.grad.flatten(1) for p in model.main_parameters() if p.grad is not None]
    return torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads]).norm(dim=0)


def clip_gradients(model: VAE, limits: Tensor) -> Tensor:
    """Scale each run's gradient down to its limit [S], never over the stack; the norms before."""
    norms = gradient_norms(model)
    scale = torch.where(norms > limits, limits / norms, torch.ones_like(norms))
    for parameter in model.main_parameters():
        if parameter.grad is not None:
            parameter.grad *= scale.view(-1, *[1] * (parameter.grad.dim() - 1))
    return norms
