"""Minibatches for a stack of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from vaebench.config import RunConfig
from vaebench.data import Dataset
from vaebench.initial import streams
from vaebench.noise import permutations


def batches(configs: Sequence[RunConfig], dataset: Dataset, place: Tensor) -> Iterator[Tensor]:
    """Minibatches [S, B, P], each run shuffling by its own seed; a last short batch is left out."""
    train, size = configs[0].train, configs[0].train.batch_size
    noise = streams(configs, "batches")
    per_epoch = len(dataset.train.x) // size
    for epoch in range(-(-train.num_steps // per_epoch)):
        x = dataset.observe("train", epoch).to(place)
        order = permutations(noise.at(step=epoch), len(x)).to(place.device)
        for i in range(min(per_epoch, train.num_steps - epoch * per_epoch)):
            rows = order[:, i * size : (i + 1) * size]
            yield x.index_select(0, rows.flatten()).unflatten(0, rows.shape)
