"""The runs of a model's stack: some of them copied or put back, or all of them written."""

from __future__ import annotations

import copy
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from vaebench.models.vae import VAE


def select(model: VAE, runs: Sequence[int]) -> VAE:
    """A copy that holds only the given runs of the stack, in that order."""
    copies = {id(tensor): _of_runs(tensor, list(runs)) for tensor in tensors(model)}
    chosen = copy.deepcopy(model, copies)
    chosen.num_runs = len(runs)
    return chosen


def _of_runs(tensor: Tensor, runs: list[int]) -> Tensor:
    values = tensor.detach()[runs]
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(values, tensor.requires_grad)
    return values


def put_back(model: VAE, part: VAE, runs: Sequence[int]) -> None:
    """Give the runs of a stack the values that they have in a part of it, as `select` copied."""
    if part is model:
        return
    for whole, copy_of_part in zip(tensors(model), tensors(part), strict=True):
        whole.data[list(runs)] = copy_of_part.data


def tensors(model: VAE) -> Iterator[Tensor]:
    """All parameters and buffers, each with the runs as its first axis."""
    return itertools.chain(model.parameters(), model.buffers())


def weights(model: VAE, run: int) -> bytes:
    """The parameters of one run of the stack as the bytes of a file that torch.load reads."""
    state, buffer = model.state_dict(), io.BytesIO()
    for name, values in state.items():
        state[name] = values[[run]]
    torch.save(state, buffer)
    return buffer.getvalue()
