"""Scalars of S runs that a model keeps, and no gradient trains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vaebench.core.hyper import Scalar


class Scalars(nn.Module):
    """Named scalars of S runs that no gradient trains: [S, 1] each."""

    FOLLOWS = 0.1
    """The share of a new value in a running one."""

    def __init__(self, values: Mapping[str, Scalar], num_runs: int) -> None:
        super().__init__()
        for name, value in values.items():
            stacked = torch.as_tensor(value, dtype=torch.float64).expand(num_runs, 1)
            self.register_buffer(f"of_{name}", stacked.clone())
        self._names = tuple(values)

    def values(self, like: Tensor) -> dict[str, Tensor]:
        """The scalars by name, [S, 1] each, in the precision of the tensor `like`."""
        return {name: self.get_buffer(f"of_{name}").to(like.dtype) for name in self._names}

    def follow(self, name: str, value: Tensor) -> None:
        """Move a running value towards a new one [S, 1]; the first replaces it where it is 0."""
        running = self.get_buffer(f"of_{name}")
        moved = running.lerp(value.to(running), self.FOLLOWS)
        running.copy_(torch.where(running == 0, value, moved))
