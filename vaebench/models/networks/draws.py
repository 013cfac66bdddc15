"""The random numbers that layers draw in training, as dropout does: functions of seed and step.

Numbers of torch's global generator would depend on what ran before. Each run's layers draw from its
own noise instead, so that a run drops the same units alone, in a stack and after a pause.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vaebench.ops.noise import Noise, normals, uniforms


class Drawing(TorchFunctionMode):
    """A context in which PyTorch's functions of REPLACED draw from the noise of one run.

    Each call reads the next sample of the noise; of [B, ...] numbers, an example has a row.
    """

    def __init__(self, noise: Noise) -> None:
        super().__init__()
        self.noise, self.num_draws = noise, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        replacement = REPLACED.get(func)
        if replacement is None:
            return func(*args, **(kwargs or {}))
        return replacement(self, *args, **(kwargs or {}))

    def uniforms(self, shape: Sequence[int]) -> Tensor:
        """The next uniforms in [0, 1)."""
        rows, columns = _as_table(shape)
        return uniforms(self._next(), rows, columns)[0].view(shape)

    def normals(self, shape: Sequence[int]) -> Tensor:
        """The next standard normals."""
        rows, columns = _as_table(shape)
        return normals(self._next(), 1, rows, columns)[0, 0].view(shape)

    def _next(self) -> Noise:
        noise = self.noise.at(sample=self.noise.first_sample + self.num_draws)
        self.num_draws += 1
        return noise


def _as_table(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of as many numbers, the first axis being the rows."""
    rows = shape[0] if shape else 1
    return rows, math.prod(shape) // rows


def _dropout(
    drawing: Drawing, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """F.dropout: each number is 0 with probability p, else 1 / (1 - p) times itself."""
    return _kept(drawing, x, x.shape, p) if training else x


def _dropout_of_channels(
    drawing: Drawing, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """F.dropout2d: whole channels of [B, C, ...] are 0, or scaled."""
    shape = (*x.shape[:2], *[1] * (x.dim() - 2))
    return _kept(drawing, x, shape, p) if training else x


def _kept(drawing: Drawing, x: Tensor, shape: Sequence[int], p: float) -> Tensor:
    if p in (0.0, 1.0):
        return x * (1.0 - p)
    return x * (drawing.uniforms(shape).to(x) >= p) * (1.0 / (1.0 - p))


def _rand_like(drawing: Drawing, x: Tensor, **_: Any) -> Tensor:
    return drawing.uniforms(x.shape).to(x)


def _randn_like(drawing: Drawing, x: Tensor, **_: Any) -> Tensor:
    return drawing.normals(x.shape).to(x)


def _bernoulli(drawing: Drawing, p: Tensor, **_: Any) -> Tensor:
    return (drawing.uniforms(p.shape).to(p) < p).to(p)


REPLACED: dict[Any, Callable[..., Tensor]] = {
    F.dropout: _dropout,
    F.dropout1d: _dropout_of_channels,
    F.dropout2d: _dropout_of_channels,
    F.dropout3d: _dropout_of_channels,
    torch.dropout: _dropout,
    torch.rand_like: _rand_like,
    torch.randn_like: _randn_like,
    torch.bernoulli: _bernoulli,
}
"""PyTorch's functions that layers draw by, and what stands for them; nn.Dropout calls the first."""
