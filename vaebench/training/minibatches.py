"""Minibatches for a stack of runs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.config import RunConfig
from vaebench.config.build import streams
from vaebench.data import Dataset, Images, joined
from vaebench.ops.noise import Noise, permutations

KEPT_BYTES = 4 << 20
"""Bytes of drawn images that are kept, at most: all runs of a stack read them from a near cache."""
ROWS_BYTES = 16 << 20
"""Bytes of a block's row numbers, at most: points of a long curve may be 10^5 steps apart."""


@dataclass(frozen=True)
class Minibatches:
    """The minibatches of T steps in a row, as row numbers into all images; B examples a step."""

    first: int
    """The step of the first minibatch."""
    images: Images
    rows: Tensor  # [T, S, B] dense

    @property
    def steps(self) -> range:
        """The steps that the minibatches are for."""
        return range(self.first, self.first + len(self.rows))

    def __getitem__(self, step: int) -> Tensor:
        """One minibatch: [S, B, P]."""
        (whole,) = self.microbatches(step, 1)
        return whole

    def microbatches(self, step: int, num: int) -> Iterator[Tensor]:
        """One minibatch in equal parts, read one after another: [S, B / num, P] each."""
        for rows in self.rows[step].chunk(num, dim=1):
            yield self.images[rows.flatten()].unflatten(0, rows.shape)

    def part(self, start: int, stop: int) -> Minibatches:
        """The minibatches of some of the steps."""
        return Minibatches(self.first + start, self.images, self.rows[start:stop])


def steps_per_epoch(dataset: Dataset, examples_per_step: int) -> int:
    """Whole minibatches of the training part."""
    return len(dataset.train) // examples_per_step


def batches(
    configs: Sequence[RunConfig], dataset: Dataset, place: Tensor, start: int = 0, at_once: int = 1
) -> Iterator[Minibatches]:
    """The minibatches of the steps from `start` on, each run shuffling by its own seed; a last
    short batch is left out.

    They come up to the next multiple of `at_once`, fewer where their row numbers would take more
    than ROWS_BYTES; where images are drawn anew for each epoch, up to the end of the last epoch
    whose draws can be kept beside those of the first.
    """
    train, first = configs[0].train, start
    images = dataset.observations("train").to(place)
    epochs = _Epochs(images, streams(configs, "batches"), train.examples_per_step)
    most_steps = max(1, ROWS_BYTES // (8 * len(configs) * train.examples_per_step))
    while first < train.num_steps:
        stop = min(train.num_steps, (first // at_once + 1) * at_once, first + most_steps)
        if images.are_drawn:
            stop = min(stop, epochs.end_of_kept(first))
        yield epochs.minibatches(first, stop)
        first = stop


class _Epochs:
    """The orders of the images, and what is observed of them, epoch by epoch."""

    def __init__(self, images: Images, noise: Noise, batch_size: int) -> None:
        self.images, self.noise, self.batch_size = images, noise, batch_size
        self.per_epoch = len(images) // batch_size
        self.most_kept = KEPT_BYTES // images.observed_bytes
        # One epoch is the last of a block and the first of the next.
        self.rows = functools.lru_cache(maxsize=1)(self._rows)
        self.observed = functools.lru_cache(maxsize=1)(lambda epoch: images.at(epoch).kept())

    def end_of_kept(self, first: int) -> int:
        """The end of the last epoch whose draws are kept beside those of the step `first`."""
        return (first // self.per_epoch + max(1, self.most_kept)) * self.per_epoch

    def minibatches(self, first: int, stop: int) -> Minibatches:
        """The minibatches of the steps in [first, stop). Images of several epochs, where they are
        drawn and kept, lie one epoch after another, and rows are numbered through."""
        epochs = range(first // self.per_epoch, (stop - 1) // self.per_epoch + 1)
        images, apart = self.images.at(epochs.start), 0
        if images.are_drawn and self.most_kept:
            images, apart = joined([self.observed(epoch) for epoch in epochs]), len(self.images)
        rows = [
            self._rows_between(epoch, first, stop) + apart * i for i, epoch in enumerate(epochs)
        ]
        return Minibatches(first, images, torch.cat(rows))

    def _rows_between(self, epoch: int, first: int, stop: int) -> Tensor:
        """The minibatches of those steps of an epoch that are in [first, stop)."""
        before = epoch * self.per_epoch
        return self.rows(epoch)[max(0, first - before) : stop - before]

    def _rows(self, epoch: int) -> Tensor:
        """The minibatches of an epoch: [steps, S, B]."""
        order = permutations(self.noise.at(step=epoch), len(self.images)).to(self.images.device)
        rows = order[:, : self.per_epoch * self.batch_size]
        return rows.unflatten(1, (self.per_epoch, self.batch_size)).transpose(0, 1)
