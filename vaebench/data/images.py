"""Images in the type that they are stored in, read as float32 a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vaebench.data.arrays import rows_at_once, written
from vaebench.ops.images import AS_INTENSITIES, GREY, Reading, Rule, Scaling, read
from vaebench.ops.noise import Noise


@dataclass(frozen=True, eq=False)
class Images:
    """N images of P pixels in the type that they are stored in.

    `images[rows]` reads some of them, by a slice or by their numbers: [n, P], a copy in float32.
    """

    stored: (
        Tensor  # [N, P] bytes, whole numbers or floats; more than N where the reading has an order
    )
    reading: Reading = AS_INTENSITIES
    dtype: torch.dtype = torch.float32
    """The precision of what is read."""

    def __len__(self) -> int:
        return len(self.stored if self.reading.order is None else self.reading.order)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(len(self)), device=self.device)
        return read(self.stored, self.reading, rows).to(self.dtype)

    @property
    def num_pixels(self) -> int:
        """The number of pixels of an image, P, colours included."""
        return self.stored.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self.stored.device

    def to(self, place: Tensor) -> Images:
        """These images on the device of a tensor, read in its precision; no copy where they are."""
        order, scaling = self.reading.order, self.reading.scaling
        reading = self.reading._replace(
            order=None if order is None else order.to(place.device),
            scaling=None if scaling is None else Scaling(*(t.to(place.device) for t in scaling)),
        )
        return replace(
            self, stored=self.stored.to(place.device), reading=reading, dtype=place.dtype
        )

    def chunks(self) -> Iterator[Tensor]:
        """All images in parts of about 1 MiB: [n, P] each."""
        num_rows = rows_at_once(4 * self.num_pixels)
        return (self[start : start + num_rows] for start in range(0, len(self), num_rows))

    def whole(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """All images as one tensor [N, P]: up to eight times the memory that they are stored in."""
        x, start = torch.empty(len(self), self.num_pixels, dtype=dtype), 0
        for chunk in self.chunks():
            x[start : start + len(chunk)] = chunk
            start += len(chunk)
        return x

    def extremes(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest intensity, of which nothing is drawn."""
        if self.reading.order is None and self.reading.scaling is None:
            low, high = self.stored.aminmax()
            return low.float() / self.reading.white, high.float() / self.reading.white
        lows, highs = zip(
            *(rows.aminmax() for rows in self.observed(GREY, None).chunks()), strict=True
        )
        return torch.stack(lows).min(), torch.stack(highs).max()

    def observed(self, rule: Rule, noise: Noise | None) -> Images:
        """The same images, of which something else is observed, drawn from a stream."""
        return replace(self, reading=self.reading._replace(rule=rule, noise=noise))

    @property
    def are_drawn(self) -> bool:
        """Whether another epoch observes something else."""
        return self.reading.noise is not None and self.reading.rule.draws

    @property
    def observed_bytes(self) -> int:
        """The bytes of what one epoch observes, as `kept` has it."""
        return len(self) * self.num_pixels * self.reading.rule.dtype.itemsize

    def at(self, epoch: int) -> Images:
        """The same images as another epoch draws them."""
        noise = self.reading.noise
        return self if noise is None else self.observed(self.reading.rule, noise.at(step=epoch))

    def kept(self) -> Images:
        """What is observed, as stored images: drawn now, and not when it is read."""
        stored = self[:].to(self.reading.rule.dtype)
        return replace(self, stored=stored, reading=AS_INTENSITIES)


def joined(several: Sequence[Images]) -> Images:
    """The images of several, which are read alike, one after another; of one, without a copy."""
    if len(several) == 1:
        return several[0]
    return replace(several[0], stored=torch.cat([images.stored for images in several]))


def unit(images: Images) -> bool:
    """Whether all values are intensities in [0, 1]."""
    low, high = images.extremes()
    return bool(low >= 0.0 and high <= 1.0)


def span(images: Images) -> str:
    """The least and the greatest value, in words, with as many digits as float32 tells apart."""
    low, high = (written(np.float32(value.item())) for value in images.extremes())
    return f"from {low} to {high}"
