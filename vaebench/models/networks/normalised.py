"""Batch normalisation of S runs side by side.

Shapes: S runs, N rows, D numbers of each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StackedBatchNorm(nn.Module):
    """S independent batch normalisations: [S, N, D] -> [S, N, D] (Ioffe & Szegedy 2015).

    As torch.nn.BatchNorm1d: in training by mean and variance of the rows of each run, in evaluation
    by their running values; then scaled and shifted.
    """

    EPS = 1e-5
    momentum = 0.1
    """The share of a new value in a running one."""

    def __init__(self, num_runs: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_runs, 1, dim))
        self.bias = nn.Parameter(torch.zeros(num_runs, 1, dim))
        self.register_buffer("running_mean", torch.zeros(num_runs, 1, dim))
        self.register_buffer("running_var", torch.ones(num_runs, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)  # sums of many rows, where the layer before gives bfloat16
        mean, var = self._of_rows(x) if self.training else self._running()
        return (x - mean) * torch.rsqrt(var + self.EPS) * self.weight + self.bias

    def _of_rows(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance over the rows, [S, 1, D] each; the running ones follow them."""
        var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        unbiased = var.detach() * (x.shape[1] / max(x.shape[1] - 1, 1))
        for running, new in zip(self._running(), (mean.detach(), unbiased), strict=True):
            running.copy_(running.lerp(new, self.momentum))
        return mean, var

    def _running(self) -> tuple[Tensor, Tensor]:
        return self.get_buffer("running_mean"), self.get_buffer("running_var")
