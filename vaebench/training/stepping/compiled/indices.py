"""What inductor asks of the indices of its loops, answered sooner.

It has each index simplified and searched for patterns by all that sympy knows, which for
convolutions is more than a third of the time that a graph takes to lower. Most answers a few sums
can give; where they cannot, inductor's own functions are asked, so the loops are the same.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

Index = Any
"""An expression of sympy, which takes half a second to import."""
Stride = Callable[..., Index]
"""(index, loop variable, length of a vector or None) -> how far apart its numbers lie in memory:
one number, or an expression that has the variable."""
Join = Callable[[Index], Index]
"""A sum -> the same with fewer terms, where parts of one index make up a whole."""


@contextlib.contextmanager
def quick_indices() -> Iterator[None]:
    """Within this context inductor asks the functions below."""
    from torch._inductor import sizevars  # 1 s, and few runs compile
    from torch._inductor.codegen import cpp

    stride, join = "stride_at_vec_range", "_join_dimensions_cached"
    with (
        mock.patch.object(cpp, stride, quick_stride(getattr(cpp, stride))),
        mock.patch.object(sizevars, join, quick_join(getattr(sizevars, join))),
    ):
        yield


def quick_stride(thorough: Stride) -> Stride:
    """The stride where it is a number at sight, or surely none.

    Of one that is none inductor asks only which variables it has, so it is not simplified.
    """
    from sympy import Integer, expand

    def bends(at: Callable[[Index], Index], last: int) -> bool:
        """Whether the way to the last number of a vector is surely not that many first steps."""
        first = at(Integer(0))
        rest = expand(at(Integer(last)) - first - last * (at(Integer(1)) - first))
        return bool(rest.is_number and rest != 0)

    @functools.lru_cache(1024)
    def stride(index: Index, variable: Index, length: int | None = None) -> Index:
        at = functools.cache(lambda place: index.xreplace({variable: place}))
        step = expand(at(variable + 1) - index)
        if step.is_number or (length and bends(at, length - 1)):
            return step
        return thorough(index, variable, length)

    return stride


def quick_join(thorough: Join) -> Join:
    """The sum itself where surely no two of its terms join.

    With M for ModularIndexing, `c M(i, d, m)` joins `c m M(i, d m, n)` or `c m FloorDiv(i, d m)`.
    """
    from sympy import Wild
    from torch.utils._sympy.functions import FloorDiv, ModularIndexing

    some = Wild("modulus", integer=True)

    def joins(factor: Index, part: Index, terms: Sequence[Index]) -> bool:
        """Whether factor * part, with a modulus, may join one of the terms."""
        if not isinstance(part, ModularIndexing):
            return True  # of another form
        base, divisor, modulus = part.args
        higher = ModularIndexing(base, divisor * modulus, some)
        if not isinstance(higher, ModularIndexing):
            return True
        if factor * modulus * FloorDiv(base, divisor * modulus) in terms:
            return True
        others = (term.as_coeff_Mul() for term in terms)
        return any(c == factor * modulus and p.args[:2] == higher.args[:2] for c, p in others)

    @functools.lru_cache(1024)
    def join(index: Index) -> Index:
        parts = (term.as_coeff_Mul() for term in index.args if term.has(ModularIndexing))
        may_join = any(joins(factor, part, index.args) for factor, part in parts)
        return thorough(index) if may_join else index

    return join
