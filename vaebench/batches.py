"""Minibatches for a stack of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from vaebench.config import RunConfig
from vaebench.data import Dataset
from vaebench.initial import streams
from vaebench.noise import permutations

BLOCK_BYTES = 1 << 20
"""Of minibatches that are gathered at once: few enough to stay in the cache until they are used."""


def batches(
    configs: Sequence[RunConfig], dataset: Dataset, place: Tensor, start: int = 0
) -> Iterator[Tensor]:
    """Minibatches [S, B, P] of the steps from `start` on, each run shuffling by its own seed; a
    last short batch is left out."""
    train, size = configs[0].train, configs[0].train.batch_size
    noise = streams(configs, "batches")
    per_epoch = len(dataset.train.x) // size
    step_bytes = len(configs) * size * dataset.num_pixels * place.element_size()
    at_once = max(1, BLOCK_BYTES // step_bytes)
    for epoch in range(start // per_epoch, -(-train.num_steps // per_epoch)):
        x = dataset.observe("train", epoch).to(place)
        order = permutations(noise.at(step=epoch), len(x)).to(place.device)
        rows = order[:, : per_epoch * size].unflatten(1, (per_epoch, size))
        rows = rows.transpose(0, 1).contiguous()  # [steps, S, B]
        first = epoch * per_epoch
        steps = range(max(0, start - first), min(per_epoch, train.num_steps - first))
        for block in (steps[i : i + at_once] for i in range(0, len(steps), at_once)):
            chosen = rows[block.start : block.stop]
            yield from x.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)
