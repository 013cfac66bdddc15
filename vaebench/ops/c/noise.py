"""Counter-based random numbers, and random orders, in C: see noise.c."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaebench.ops import c

Counters = tuple[int, int, int]
"""The first step, sample and row."""
Shape = tuple[int, int, int, int]
"""[K, S, B, D]."""


def normals(
    keys: tuple[int, ...], first: Counters, shape: Shape, num_steps: int = 1
) -> NDArray[np.float32]:
    """Standard normals of steps in a row: [T, K, S, B, D]."""
    return _filled("vaebench_normals", keys, first, shape, num_steps)


def uniforms(
    keys: tuple[int, ...], first: Counters, shape: Shape, num_steps: int = 1
) -> NDArray[np.float32]:
    """Uniforms in [0, 1) of steps in a row: [T, K, S, B, D]."""
    return _filled("vaebench_uniforms", keys, first, shape, num_steps)


def words(
    keys: tuple[int, ...], first: Counters, shape: Shape, num_steps: int = 1
) -> NDArray[np.uint32]:
    """The 32-bit words that numbers are made of, of steps in a row: [T, K, S, B, D]."""
    return _filled("vaebench_words", keys, first, shape, num_steps).view(np.uint32)


def place(keys: tuple[int, ...], first: Counters, shape: Shape) -> tuple[Any, ...]:
    """Where to read in the streams, as arguments of C: see `Place` in noise.h."""
    return _as_words(keys), *first, *shape


def _filled(
    function: str, keys: tuple[int, ...], first: Counters, shape: Shape, num_steps: int
) -> NDArray[np.float32]:
    numbers = np.empty((num_steps, *shape), np.float32)
    fill = getattr(c.functions(), function)
    fill(num_steps, *place(keys, first, shape), numbers.ctypes.data)
    return numbers


@functools.lru_cache(maxsize=256)
def _as_words(numbers: tuple[int, ...]) -> ctypes.Array[ctypes.c_uint64]:
    """Unsigned 64-bit numbers in a row; kept, since a run's key serves all its steps."""
    return (ctypes.c_uint64 * len(numbers))(*numbers)
