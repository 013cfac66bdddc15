"""How C reads and fills tensors: as rows of dense numbers, equally far apart."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def dense_rows(x: Tensor) -> Tensor:
    """x [..., D], as [N, D] where it is not contiguous; copied only where rows do not lie so."""
    if x.is_contiguous():
        return x
    flat = x.reshape(x.shape[:-1].numel(), x.shape[-1])
    return flat if flat.stride(1) == 1 else flat.contiguous()


def read(x: Tensor) -> tuple[int, int]:
    """Address, and how many numbers apart the rows are, of what `dense_rows` returned."""
    return x.data_ptr(), x.shape[-1] if x.is_contiguous() else x.stride(0)


def empty(shape: tuple[int, ...]) -> Tensor:
    """Memory for what C writes."""
    return torch.empty(shape, dtype=torch.float32)


def addresses(tensors: Iterable[Tensor]) -> tuple[int, ...]:
    """Where tensors lie in memory now: it changes when `.data` is assigned."""
    return tuple(tensor.data_ptr() for tensor in tensors)
