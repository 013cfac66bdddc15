"""Inputs of the operations, and one checked against its reference in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

KEYS = (3, 2**63 - 1)
SHAPES = [(1, 2, 5, 1), (3, 2, 5, 7), (50, 1, 2, 20), (1, 2, 1, 257)]  # K, S, B, D
FP32 = 5e-6
"""Error allowed, relative to 1 + the size of what is summed."""


def check(
    op: Callable[..., Any], reference: Callable[..., Any], leaves: list[Tensor], size: float = 1.0
) -> None:
    """op(*leaves) in float32 and reference(*leaves) in float64, and random gradients."""
    results = []
    upstream: list[Tensor] = []
    for function, dtype in ((op, torch.float32), (reference, torch.float64)):
        inputs = [x.detach().to(dtype).requires_grad_() for x in leaves]
        out = function(*inputs)
        out = out if isinstance(out, tuple) else (out,)
        torch.manual_seed(8)
        upstream = upstream or [torch.randn(x.shape) for x in out]
        gradients = torch.autograd.grad(out, inputs, [x.to(dtype) for x in upstream])
        results.append([*out, *gradients])
    for got, want in zip(*results, strict=True):
        assert got.dtype == torch.float32 and got.shape == want.shape
        excess = (got.double() - want).abs() / (1.0 + want.abs())
        assert excess.max() <= FP32 * size


def latent(shape: tuple[int, ...], spread: float = 3.0) -> list[Tensor]:
    torch.manual_seed(7)
    return [torch.randn(shape[1:]), torch.empty(shape[1:]).uniform_(-spread, spread)]


LATENT = {
    "kl": ("reparameterise_kl", {}),
    "kl per dimension": ("reparameterise_kl_per_dimension", {}),
    "log probs": ("reparameterise_log_probs", {}),
    "path": ("reparameterise_log_probs", {"path": True}),
}


def pixels(shape: tuple[int, ...]) -> Tensor:
    torch.manual_seed(3)
    levels = torch.randint(0, 256, shape[1:])
    levels.view(-1)[::5], levels.view(-1)[1::5] = 0, 255
    return levels / 255


def parameters(shape: tuple[int, ...], spread: float, low: float, high: float) -> list[Tensor]:
    torch.manual_seed(4)
    return [spread * torch.randn(shape), torch.empty(shape).uniform_(low, high)]
