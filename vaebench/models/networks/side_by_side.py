"""S copies of one network of a run, side by side: each parameter and buffer has an axis of runs.

Shapes: S runs, N rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.models.networks.draws import Drawing
from vaebench.ops.noise import Noise

Place = tuple[dict[str, Any], str]
"""Where a module keeps a tensor: its dictionary of parameters or buffers, and the name there."""


@dataclass(frozen=True)
class Side:
    """What the encoder, or the decoder, of one run takes and gives for each row."""

    name: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    to_network: Callable[[Tensor], Tensor]
    """Rows as the suite has them, [N, n] -> [N, *takes]."""
    from_network: Callable[[Tensor], Tensor]
    """[N, *gives], or in any other shape -> rows as the suite has them."""
    first_draw: int
    """The sample of the noise of a step from which on its layers draw."""


def places(network: nn.Module) -> Iterator[Place]:
    """Where the tensors of a network hang; one that two modules share is there twice."""
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            yield from ((held, name) for name, tensor in held.items() if tensor is not None)


class StackedNetwork(nn.Module):
    """S copies of a network whose tensors have an axis of runs: [S, N, in] -> [S, N, out].

    For each run its tensors take the places of the stacked ones, and the network is called. What
    the network writes into its buffers is each run's own. `draws`: its layers draw in training.
    """

    def __init__(self, network: nn.Module, side: Side, numbers_per_row: int, draws: bool) -> None:
        super().__init__()
        self.network, self.side, self.draws = network, side, draws
        self.numbers_per_row = numbers_per_row

    def forward(self, rows: Tensor, step: Noise | None = None) -> Tensor:
        """`step`: the random numbers of a training step; None in evaluation."""
        self.network.train(step is not None)
        slots = list(places(self.network))
        stacked = [held[name] for held, name in slots]
        try:
            outputs = [
                self._of_run(slots, of_run, rows[run], _of_run(step, run))
                for run, of_run in enumerate(_apart(stacked))
            ]
        finally:
            for (held, name), tensor in zip(slots, stacked, strict=True):
                held[name] = tensor
        return torch.stack(outputs)

    def _of_run(
        self, slots: Sequence[Place], tensors: Sequence[Tensor], rows: Tensor, step: Noise | None
    ) -> Tensor:
        """The network with the tensors of one run: [N, in] -> [N, out]."""
        for (held, name), tensor in zip(slots, tensors, strict=True):
            held[name] = tensor
        with self._drawing(step):
            out = self.network(self.side.to_network(rows.clone()))  # it may work in place
        for (held, name), tensor in zip(slots, tensors, strict=True):
            if (now := held[name]) is not tensor and now is not None:
                tensor.copy_(now)  # a buffer that it replaced
        return self.side.from_network(out)

    def _drawing(self, step: Noise | None) -> contextlib.AbstractContextManager[object]:
        """In which its layers draw from the noise of a run."""
        if step is None or not self.draws:
            return contextlib.nullcontext()
        return Drawing(step.at(sample=self.side.first_draw))


def outputs(network: nn.Module, rows: Tensor, step: Noise | None) -> Tensor:
    """What an encoder or decoder of S runs gives; copies of a user's are told of the step."""
    out: Tensor = network(rows, step) if isinstance(network, StackedNetwork) else network(rows)
    return out


def _apart(stacked: Sequence[Tensor | None]) -> Iterator[list[Tensor]]:
    """The tensors of each run. Of one run they are views, whose gradients are not copied."""
    tensors = [tensor for tensor in stacked if tensor is not None]
    if len(tensors[0]) == 1:
        yield [tensor.squeeze(0) for tensor in tensors]
        return
    parts = {id(t): t.unbind() if t.requires_grad else [*t] for t in tensors}
    for run in range(len(tensors[0])):
        yield [parts[id(tensor)][run] for tensor in tensors]


def _of_run(step: Noise | None, run: int) -> Noise | None:
    return None if step is None else replace(step, keys=step.keys[run : run + 1])
