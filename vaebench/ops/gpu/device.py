"""What the Triton kernels share: counted normals, careful logarithms, loads and stores.

All arithmetic is float32, whatever the dtype in memory.
"""

# Triton's functions have no types that a checker could follow:
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import math

import triton
import triton.language as tl

LOG_2PI = tl.constexpr(math.log(2.0 * math.pi))

# sin(2 pi x) = x * (a Taylor polynomial of degree 5 in x^2), off by less than 6e-8 for |x| <= 1/4.
_SIN = [(-1) ** n * (2.0 * math.pi) ** (2 * n + 1) / math.factorial(2 * n + 1) for n in range(6)]
_SIN0, _SIN1, _SIN2, _SIN3, _SIN4, _SIN5 = map(tl.constexpr, _SIN)


@triton.jit
def load(pointer, offsets, inside):
    return tl.load(pointer + offsets, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def store(pointer, offsets, value, inside):
    tl.store(pointer + offsets, value.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _uniform(word):
    """noise.uniform; x ^ (x >> 31) folds a negative x over to ~x."""
    signed = word.to(tl.int32, bitcast=True)
    return (signed ^ (signed >> 31)).to(tl.float32) * 4.6566127342e-10


@triton.jit
def _sin_turns(x):
    """sin(2 pi x), |x| <= 1/4."""
    y = x * x
    return x * (_SIN0 + y * (_SIN1 + y * (_SIN2 + y * (_SIN3 + y * (_SIN4 + y * _SIN5)))))


@triton.jit
def _normal_pair(u, v):
    """noise.normal_pair, with the angle in turns and folded to a quarter turn.

    A library cosine costs twice the instructions and a stack for angles that never come.
    """
    radius = tl.sqrt(-2.0 * tl.log(tl.maximum(u, 1.0e-7)))
    turn = v - 0.5  # the opposite point of the circle
    away = tl.abs(turn)
    cos = _sin_turns(away - 0.25)
    sin = _sin_turns(tl.minimum(away, 0.5 - away))
    return radius * cos, radius * tl.where(turn < 0.0, sin, -sin)


@triton.jit
def normals(key, step, sample, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """noise.normals: [ROWS, BLOCK], from the rows' numbers and the first column's."""
    quads = (columns // 4 + tl.arange(0, BLOCK // 4)).to(tl.uint32)
    a, b, c, d = tl.philox(key, quads[None, :], rows[:, None], sample, step)
    n0, n1 = _normal_pair(_uniform(a), _uniform(b))
    n2, n3 = _normal_pair(_uniform(c), _uniform(d))
    return tl.join(tl.join(n0, n2), tl.join(n1, n3)).reshape(ROWS, BLOCK)


@triton.jit
def exp_rest(x, exp_x):
    """exp(x) - 1 - x: by Taylor near 0, where the difference would lose its digits."""
    tail = 1 / 24 + x * (1 / 120 + x * (1 / 720 + x / 5040))
    near = x * x * (1 / 2 + x * (1 / 6 + x * tail))
    return tl.where(tl.abs(x) < 0.5, near, exp_x - 1.0 - x)
