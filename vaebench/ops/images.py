"""Images in the type that they are stored in, and what is read of them, a few rows at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c import images as in_c


@dataclass(frozen=True)
class Rule:
    """What is observed of intensities: the number of the rule in images.c, and its formula."""

    number: int
    formula: Callable[[Tensor], Tensor]


GREY = Rule(0, lambda x: x)
THRESHOLD = Rule(1, lambda x: (x > 0.5).to(x))


class Reading(NamedTuple):
    """How stored numbers become observations."""

    white: float = 1.0
    """The byte that is intensity 1; numbers in float32 are intensities already."""
    rule: Rule = GREY


AS_INTENSITIES = Reading()


def for_c(stored: Tensor, reading: Reading) -> ctypes.Structure:
    """The arguments of `read` as C takes them, for as long as `stored` lives."""
    return in_c.images_in_c(stored, reading.white, reading.rule.number)


def read(stored: Tensor, reading: Reading, rows: Tensor) -> Tensor:
    """The observations of some images: [n, P] float32, never memory of what is stored.

    `stored`: [N, P] dense, uint8 or of floats, which stay in their precision. `rows`: [n], int64,
    on the same device.
    """
    in_float32 = stored.dtype in (torch.uint8, torch.float32)
    if stored.is_cpu and in_float32 and stored.is_contiguous() and c.library():
        return in_c.read(for_c(stored, reading), rows)
    x = stored.index_select(0, rows)
    if stored.dtype == torch.uint8:
        # By a tensor: a GPU would multiply by the reciprocal of a number, with other last digits.
        x = x.float().div_(torch.full((), reading.white, device=stored.device))
    return reading.rule.formula(x)
