"""Minibatches for a stack of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from vaebench.config import RunConfig
from vaebench.config.build import streams
from vaebench.data import Dataset, Images
from vaebench.ops.noise import permutations


@dataclass(frozen=True)
class Minibatches:
    """The minibatches of T steps in a row, as row numbers into all images."""

    first: int
    """The step of the first minibatch."""
    images: Images
    rows: Tensor  # [T, S, B]

    @property
    def steps(self) -> range:
        """The steps that the minibatches are for."""
        return range(self.first, self.first + len(self.rows))

    def __getitem__(self, step: int) -> Tensor:
        """One minibatch: [S, B, P]."""
        rows = self.rows[step]
        return self.images[rows.flatten()].unflatten(0, rows.shape)

    def part(self, start: int, stop: int) -> Minibatches:
        """The minibatches of some of the steps."""
        return Minibatches(self.first + start, self.images, self.rows[start:stop])


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """Whole minibatches of the training part."""
    return len(dataset.train) // batch_size


def batches(
    configs: Sequence[RunConfig], dataset: Dataset, place: Tensor, start: int = 0, at_once: int = 1
) -> Iterator[Minibatches]:
    """The minibatches of the steps from `start` on, each run shuffling by its own seed; a last
    short batch is left out. They come up to the next multiple of `at_once`, or the epoch's end."""
    train, size = configs[0].train, configs[0].train.batch_size
    noise = streams(configs, "batches")
    per_epoch = steps_per_epoch(dataset, size)
    images = dataset.observations("train").to(place)
    for epoch in range(start // per_epoch, -(-train.num_steps // per_epoch)):
        order = permutations(noise.at(step=epoch), len(images)).to(place.device)
        rows = order[:, : per_epoch * size].unflatten(1, (per_epoch, size))
        rows = rows.transpose(0, 1).contiguous()  # [steps, S, B]
        first = max(start, epoch * per_epoch)
        end = min(train.num_steps, (epoch + 1) * per_epoch)
        while first < end:
            stop = min(end, (first // at_once + 1) * at_once)
            chosen = slice(first - epoch * per_epoch, stop - epoch * per_epoch)
            yield Minibatches(first, images.at(epoch), rows[chosen])
            first = stop
