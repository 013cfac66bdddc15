"""S copies of one network of a run, side by side: each parameter and buffer has an axis of runs.

Shapes: S runs, N rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.models.networks.draws import Drawing
from vaebench.ops.noise import Noise

LEAST_AT_ONCE, MOST_AT_ONCE = 4, 1 << 15
"""A stack of so many runs or more goes through its networks at once, by torch.vmap, where the
widest layer gives at most so many numbers for the minibatch of a run; else run after run.

Milliseconds for each run, encoder and decoder, forward and backward, on one thread of a 2-core
x86-64 CPU (medians; `python -m benchmarks.networks.ways`):

    network, B                    numbers     S   at once   in turn
    64-128-8, 64                    8,192     2      0.29      0.23
                                              4      0.18      0.20
                                             16      0.11      0.18
    the same, batch normalised      8,192     4      0.27      0.27
                                             16      0.21      0.24
    convolutions 8x8, 64           16,384     4      1.2       1.4
                                             16      1.2       1.4
    784-400-20, 128               100,352     4      4.8       4.8
                                             16      4.6       4.8
    convolutions 28x28, 128       401,408     4       13        10
                                             16       21        10
"""
ROWS_APART = 1 << 24
"""The first rows of the noise of the networks of two layers of latents are so far apart."""
Place = tuple[dict[str, Any], str]
"""Where a module keeps a tensor: its dictionary of parameters or buffers, and the name there."""


@dataclass(frozen=True)
class Side:
    """What the encoder, or the decoder, of one run takes and gives for each row."""

    name: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    to_network: Callable[[Tensor], Tensor]
    """Rows as the suite has them, [N, n] -> [N, *takes], a copy: the network may work in place."""
    from_network: Callable[[Tensor], Tensor]
    """[N, *gives], or in any other shape -> rows as the suite has them."""
    first_draw: int
    """The sample of the noise of a step from which on its layers draw."""


def places(modules: Iterable[nn.Module]) -> Iterator[Place]:
    """Where the tensors of modules hang; one that two of them share is there twice."""
    for module in modules:
        for held in (module._parameters, module._buffers):
            yield from ((held, name) for name, tensor in held.items() if tensor is not None)


class StochasticNetwork(nn.Module):
    """A network of S runs whose layers may draw random numbers in training, from those of the step:
    forward(rows [S, N, in], step), step None in evaluation."""


class StackedNetwork(StochasticNetwork):
    """S copies of a network whose tensors have an axis of runs: [S, N, in] -> [S, N, out].

    For each run its tensors take the places of the stacked ones, and the network is called. What
    the network writes into its buffers is each run's own. `draws`: its layers draw in training.
    """

    def __init__(self, network: nn.Module, side: Side, numbers_per_row: int, draws: bool) -> None:
        super().__init__()
        self.network, self.side, self.draws = network, side, draws
        self.training = network.training  # which `outputs` looks at
        self.numbers_per_row = numbers_per_row
        self.layers = [m for m in network.modules() if m._parameters or m._buffers]
        self.at_once = not draws and numbers_per_row <= MOST_AT_ONCE
        """Whether small minibatches of a stack may go through the network at once."""

    def forward(self, rows: Tensor, step: Noise | None = None) -> Tensor:
        """`step`: the random numbers of a training step; None in evaluation."""
        slots = list(places(self.layers))
        stacked: list[Tensor] = [held[name] for held, name in slots]
        try:
            if self.at_once and self._go_at_once(rows):
                return torch.vmap(partial(self._of_run, slots))(stacked, rows)
            outputs = [
                self._of_run(slots, of_run, rows_of_run, self._of_layers(step, run))
                for run, (rows_of_run, *of_run) in enumerate(_apart([rows, *stacked]))
            ]
        finally:
            for (held, name), tensor in zip(slots, stacked, strict=True):
                held[name] = tensor
        return torch.stack(outputs) if len(outputs) > 1 else outputs[0].unsqueeze(0)

    def _go_at_once(self, rows: Tensor) -> bool:
        """Where it is faster; in float32 alone, as vmap's batch normalisation takes no mixture of
        precisions."""
        is_small = rows.shape[1] * self.numbers_per_row <= MOST_AT_ONCE
        in_float32 = not torch.is_autocast_enabled(rows.device.type)
        return len(rows) >= LEAST_AT_ONCE and is_small and in_float32

    def _of_layers(self, step: Noise | None, run: int) -> Noise | None:
        """The noise that the layers of a run draw from in a step; None where they draw nothing."""
        if step is None or not self.draws:
            return None
        return replace(step.at(sample=self.side.first_draw), keys=step.keys[run : run + 1])

    def _of_run(
        self,
        slots: Sequence[Place],
        tensors: Sequence[Tensor],
        rows: Tensor,
        step: Noise | None = None,
    ) -> Tensor:
        """The network with the tensors of one run: [N, in] -> [N, out]."""
        for (held, name), tensor in zip(slots, tensors, strict=True):
            held[name] = tensor
        with contextlib.nullcontext() if step is None else Drawing(step):
            out = self.network(self.side.to_network(rows))
        for (held, name), tensor in zip(slots, tensors, strict=True):
            if (now := held[name]) is not tensor and now is not None:
                tensor.copy_(now)  # a buffer that it replaced
        return self.side.from_network(out)


def outputs(
    network: nn.Module,
    rows: Tensor,
    step: Noise | None,
    parameters: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """What a network of S runs gives in a training step, or in evaluation, where that is None.

    `parameters`: what stands for its own, by name.
    """
    if network.training != (step is not None):
        network.train(step is not None)
    of_step = (step,) if isinstance(network, StochasticNetwork) else ()
    if parameters:
        out: Tensor = torch.func.functional_call(network, dict(parameters), (rows, *of_step))
    else:
        out = network(rows, *of_step)
    return out


def of_samples(network: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Each sample through its own run's network, [S, n, in] -> [S, n, out]: [K, S, B, in] ->
    [K, S, B, out]."""
    num_samples, _, num_rows, _ = z.shape
    out = network(z.transpose(0, 1).flatten(1, 2))
    return out.unflatten(1, (num_samples, num_rows)).transpose(0, 1)


def _apart(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors of each run. Of one run they are views, whose gradients are not copied; those
    without a gradient may be written into."""
    if len(tensors[0]) == 1:
        yield [tensor.squeeze(0) for tensor in tensors]
        return
    parts = {id(t): t.unbind() if t.requires_grad else [*t] for t in tensors}
    for run in range(len(tensors[0])):
        yield [parts[id(tensor)][run] for tensor in tensors]
