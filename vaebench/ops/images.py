"""Images in the type that they are stored in, and what is read of them, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c import images as in_c
from vaebench.ops.densities import NUM_LEVELS, nearest_level
from vaebench.ops.dispatch import has_triton
from vaebench.ops.noise import Noise, uniforms_of, words_of_rows


@dataclass(frozen=True)
class Rule:
    """What is observed of intensities: the number of the rule in images.c, and its formula."""

    number: int
    formula: Callable[[Tensor, Tensor], Tensor]
    """(intensities, a random 32-bit word for each, as int64) -> observations; no words are made for
    a rule that does not draw."""
    draws: bool = False
    dtype: torch.dtype = torch.float32
    """The smallest type that holds what is observed."""


def _binarised(x: Tensor, words: Tensor) -> Tensor:
    """1 with the probability x: a word is below 2^32 x, exactly; so 0 stays 0, and 1 stays 1."""
    return (words < x.double() * 2.0**32).to(x)


def _dequantised(x: Tensor, words: Tensor) -> Tensor:
    """Intensities k / 255 as (k + u) / 256, u uniform: in the open (0, 1), also after rounding."""
    y = (nearest_level(x) + uniforms_of(words).to(x)) / NUM_LEVELS
    return y.clamp(2.0**-40, 1.0 - 2.0**-24)


GREY = Rule(0, lambda x, words: x)
THRESHOLD = Rule(1, lambda x, words: (x > 0.5).to(x))
BINARISED = Rule(2, _binarised, draws=True, dtype=torch.uint8)
DEQUANTISED = Rule(3, _dequantised, draws=True)


class Scaling(NamedTuple):
    """Pixels as (x - shift) / scale: [P] each, float32."""

    shift: Tensor
    scale: Tensor


class Reading(NamedTuple):
    """How stored numbers become observations."""

    white: float = 1.0
    """The byte that is read as 1; numbers in float32 are intensities already."""
    rule: Rule = GREY
    noise: Noise | None = None
    """Where a rule that draws reads: one stream, the epoch as its step, images as its rows."""
    order: Tensor | None = None
    """[N] int64: the stored row of each image; None where images are stored in their order."""
    scaling: Scaling | None = None
    """What is taken off each pixel, and divides it, before the rule; None: nothing."""


AS_INTENSITIES = Reading()


def for_c(stored: Tensor, reading: Reading) -> in_c.ImagesInC:
    """The arguments of `read` as C takes them, for as long as they live."""
    drawn = (reading.noise.keys[0], reading.noise.step) if reading.noise else ()
    place = in_c.Place(reading.order, *(reading.scaling or (None, None)))
    return in_c.images_in_c(stored, reading.white, reading.rule.number, place, *drawn)


def read(stored: Tensor, reading: Reading, rows: Tensor) -> Tensor:
    """The observations of some images: [n, P] float32, never memory of what is stored.

    `stored`: [N, P] dense, of bytes, whole numbers or floats. `rows`: [n], int64, on the same
    device.
    """
    is_dense = stored.is_cpu and stored.is_contiguous()
    if is_dense and stored.dtype in in_c.TYPES and c.library():
        return in_c.read(for_c(stored, reading), rows)
    x = stored.index_select(0, rows if reading.order is None else reading.order[rows]).float()
    if stored.dtype == torch.uint8:
        # By a tensor: a GPU would multiply by the reciprocal of a number, with other last digits.
        x = x.div_(torch.full((), reading.white, device=stored.device))
    if reading.scaling is not None:
        x = x.sub(reading.scaling.shift).div_(reading.scaling.scale)
    drawn = reading.noise if reading.rule.draws else None
    words = rows if drawn is None else _words(drawn, rows, x.shape[1])
    return reading.rule.formula(x, words)


def _words(noise: Noise, rows: Tensor, num_columns: int) -> Tensor:
    if not (rows.is_cuda and has_triton()):
        return words_of_rows(noise, rows, num_columns)
    from vaebench.ops.gpu import words  # imports triton, which CPU machines may lack

    return words.words_of_rows(noise, rows, num_columns)
