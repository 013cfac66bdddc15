"""The floor: the matrix products of a step, and nothing else."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.peers.work import Prepared, Size, Work
from vaebench.ops import c

Product = tuple[Tensor, Tensor, Tensor]
"""Left [S, m, k], right [S, k, n], and where their product goes [S, m, n]."""


def floor(work: Work) -> Prepared:
    """The 11 matrix products of a step into tensors made before: bmm or mm, whichever is faster."""
    operands = list(products(work.size, work.num_runs))
    alone = [
        (left[i], right[i], out[i]) for i in range(work.num_runs) for left, right, out in operands
    ]
    ways = (
        functools.partial(_repeat, torch.bmm, operands),
        functools.partial(_repeat, torch.mm, alone),
    )
    return Prepared(min(ways, key=_seconds), dict)


def floor_in_c(work: Work) -> Prepared:
    """The same 11 products by ops/c/product.c, run after run, as compiled steps take them."""
    operands = list(products(work.size, work.num_runs))
    calls = [
        _in_c(left[i], right[i], out[i])
        for i in range(work.num_runs)
        for left, right, out in operands
    ]
    return Prepared(functools.partial(_call, calls, operands), dict)


def _call(calls: list[Callable[[], None]], kept: list[Product], num_steps: int) -> None:
    """What the calls point into is kept as long as they are."""
    for _ in range(num_steps):
        for call in calls:
            call()


def _in_c(left: Tensor, right: Tensor, out: Tensor) -> Callable[[], None]:
    """The call of C for a product of one run."""
    steps = (ctypes.c_int64 * 6)(0, *left.stride(), 0, *right.stride())
    places = (t.data_ptr() for t in (left, right, out))
    sizes = (1, left.shape[0], right.shape[1], left.shape[1])
    return functools.partial(c.functions().vaebench_products, *sizes, steps, *places)


def products(size: Size, num_runs: int) -> Iterator[Product]:
    """For each layer its output and the gradient of its weights; of its input, but for the first.

    4 + 4 + 3: no one asks for the gradient of the images.
    """
    for i, (inputs, outputs) in enumerate(size.layers.values()):
        x, weight = torch.rand(num_runs, size.batch, inputs), torch.rand(num_runs, inputs, outputs)
        gradient = torch.rand(num_runs, size.batch, outputs)
        yield x, weight, torch.empty_like(gradient)
        yield x.mT, gradient, torch.empty_like(weight)
        if i:
            yield gradient, weight.mT, torch.empty_like(x)


def _repeat(multiply: Callable[..., Tensor], operands: list[Product], num_steps: int) -> None:
    for _ in range(num_steps):
        for left, right, out in operands:
            multiply(left, right, out=out)


def _seconds(way: Callable[[int], None]) -> float:
    """The least of several, so that a neighbour's turn does not decide."""
    way(1)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        way(2)
        times.append(time.perf_counter() - start)
    return min(times)
