"""The quick answers to what inductor asks of indices are those of its own functions."""

import pytest
import sympy
from torch.utils._sympy.functions import FloorDiv, ModularIndexing

from tests.support.graphs import OF_COMPILING
from vaebench.training.stepping.compiled.indices import quick_indices, quick_join, quick_stride

pytestmark = OF_COMPILING
LENGTH = 16
X, Y = sympy.symbols("x y", integer=True, nonnegative=True)


def part(index, divisor, modulus):
    return ModularIndexing(index, divisor, modulus)


def whole(index, divisor):
    return FloorDiv(index, divisor)


INDICES = {
    "a row": 128 * X + Y,
    "a column": X + 64 * Y,
    "a patch": 32 * whole(X, 4) + 8 * whole(Y, 4) + 2 * part(X, 1, 4) + part(Y, 1, 4) - 9,
    "two parities": 512 * whole(X + 1, 2) + 4 * part(X + 1, 1, 2) + 16 * Y,
    "whole vectors": 64 * whole(X, 16) + part(X, 1, 16) + Y,
    "longer periods": part(X, 1, 48) + 1024 * whole(X, 96) + part(Y, 1, 20),
    "parts of a whole": part(X, 1, 32) + 32 * whole(X, 32) + 5 * Y,
    "parts of a part": part(X, 1, 4) + 4 * part(X, 4, 8) + Y,
    "scaled parts": 6 * part(X, 1, 4) + 24 * part(X, 4, 8) + 192 * whole(X, 32),
    "strangers": part(X, 1, 4) + 3 * part(X, 4, 8) + 4 * part(Y, 4, 8) + 4 * whole(Y, 4),
    "of two variables": part(4 * X + Y, 1, 6) + 6 * whole(4 * X + Y, 6),
}
JOINED = {"parts of a whole", "parts of a part", "scaled parts", "of two variables"}


@pytest.fixture(scope="module")
def inductor():
    from torch._inductor import sizevars

    return sizevars


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("length", [LENGTH, None])
def test_strides_are_the_same_numbers_or_none_with_the_same_variable(inductor, name, length):
    index = INDICES[name]
    stride = quick_stride(inductor.stride_at_vec_range)
    for variable in (X, Y):
        ours, theirs = (s(index, variable, length) for s in (stride, inductor.stride_at_vec_range))
        assert ours.is_number == theirs.is_number
        assert ours == theirs if ours.is_number else ours.has(variable) and theirs.has(variable)


@pytest.mark.parametrize("name", INDICES)
def test_terms_are_joined_where_inductor_joins_them(inductor, name):
    index = INDICES[name]
    joined = quick_join(inductor._join_dimensions_cached)(index)
    assert joined == inductor._join_dimensions_cached(index)
    assert (joined != index) == (name in JOINED)


def test_what_a_sum_decides_is_not_asked_of_inductor():
    def asked(*arguments):
        raise AssertionError(arguments)

    stride, join = quick_stride(asked), quick_join(asked)
    assert [stride(INDICES["a row"], v, LENGTH) for v in (X, Y)] == [128, 1]
    assert stride(INDICES["a patch"], X, LENGTH).has(X)
    assert stride(INDICES["two parities"], Y, LENGTH) == 16
    assert join(INDICES["strangers"]) is INDICES["strangers"]


def test_lowering_asks_them(inductor):
    from torch._inductor.codegen import cpp

    theirs = cpp.stride_at_vec_range, inductor._join_dimensions_cached
    with quick_indices():
        assert cpp.stride_at_vec_range is not theirs[0]
        assert inductor._join_dimensions_cached is not theirs[1]
    assert (cpp.stride_at_vec_range, inductor._join_dimensions_cached) == theirs
