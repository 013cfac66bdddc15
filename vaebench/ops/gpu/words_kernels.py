"""The random words of some rows of one stream, as whole numbers."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import triton
import triton.language as tl

QUADS = tl.constexpr(256)
"""Philox calls of a program."""


@triton.jit(do_not_specialize=["step", "num_columns"])
def words(rows_ptr, words_ptr, key_ptr, step: tl.uint32, num_columns):
    """Words [n, D], int64: as noise.words_of_rows."""
    place = tl.program_id(0).to(tl.int64)
    quads = tl.program_id(1) * QUADS + tl.arange(0, QUADS)
    row = tl.load(rows_ptr + place).to(tl.uint32)
    zero = row - row
    a, b, c, d = tl.philox(tl.load(key_ptr), quads.to(tl.uint32), row, zero, step.to(tl.uint32))
    first = 4 * quads
    at = words_ptr + place * num_columns + first
    tl.store(at, a.to(tl.uint32, bitcast=True).to(tl.int64), mask=first < num_columns)
    tl.store(at + 1, b.to(tl.uint32, bitcast=True).to(tl.int64), mask=first + 1 < num_columns)
    tl.store(at + 2, c.to(tl.uint32, bitcast=True).to(tl.int64), mask=first + 2 < num_columns)
    tl.store(at + 3, d.to(tl.uint32, bitcast=True).to(tl.int64), mask=first + 3 < num_columns)
