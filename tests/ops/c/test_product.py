"""Products of matrices in C: every shape and layout, to the roundings of their sums."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaebench.ops import c
from vaebench.ops.c import build
from vaebench.ops.c import product as product_room
from vaebench.training.stepping.compiled.trace import product_operation

needs_native = pytest.mark.skipif(bool(c.problem()), reason=c.problem())
EPS = 2.0**-24
"""Half a unit in the last place of float32: what one operation rounds by, at most."""
SIZES = (1, 2, 7, 12, 13, 16, 25, 31, 33, 48, 64, 100, 257, 300, 784)
"""Around what registers hold (12 or 6 rows, 32 or 16 columns), and the 256 rows of a panel."""
SHAPES = [
    *((size, 33, 25) for size in SIZES),
    *((13, size, 25) for size in SIZES),
    *((13, 33, size) for size in SIZES),
    *[(1, 1, 1), (1, 1, 784), (100, 784, 64), (784, 100, 64), (64, 12, 300), (257, 257, 257)],
]
GUARD, ROOM = 12345.0, 64
"""What lies on both sides of a result, and how much of it."""


def plain(t):
    return t.contiguous()


def transposed(t):
    return t.mT.contiguous().mT


def spread(t):
    """Every second row and every third column of another matrix, whose others are no numbers."""
    runs, rows, columns = t.shape
    wide = torch.full((runs, 2 * rows, 3 * columns), torch.nan)
    wide[:, ::2, ::3] = t
    return wide[:, ::2, ::3]


LAYOUTS = (plain, transposed, spread)


def product(a, b):
    """[S, M, K] and [S, K, N] -> [S, M, N], by the C function; nothing beside it is written."""
    (runs, rows, depth), columns = a.shape, b.shape[2]
    size = runs * rows * columns
    memory = torch.full((ROOM + size + ROOM,), GUARD)
    steps = (ctypes.c_int64 * 6)(*a.stride(), *b.stride())
    out = memory[ROOM : ROOM + size]
    addresses = (t.data_ptr() for t in (a, b, out))
    c.functions().vaebench_products(runs, rows, columns, depth, steps, *addresses)
    assert (memory[:ROOM] == GUARD).all()
    assert (memory[ROOM + size :] == GUARD).all()
    return out.view(runs, rows, columns)


def random(*sizes, seed=0):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def factors(rows, columns, depth, runs=2):
    return random(runs, rows, depth), random(runs, depth, columns, seed=1)


def assert_is_product(computed, a, b):
    """The product is within K roundings, each of at most the sum of the sizes of the K products
    (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1)."""
    exact, sizes = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    assert computed.shape == exact.shape
    bound = (a.shape[2] + 2) * EPS * sizes
    assert ((computed.double() - exact).abs() <= bound).all()


@needs_native
@pytest.mark.parametrize("of_b", LAYOUTS)
@pytest.mark.parametrize("of_a", LAYOUTS)
def test_every_size_and_layout_is_the_product_but_for_roundings(of_a, of_b):
    for shape in SHAPES:
        a, b = factors(*shape)
        assert_is_product(product(of_a(a), of_b(b)), a, b)


@needs_native
@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    shape=st.tuples(*[st.integers(1, 70)] * 2, st.integers(1, 300)),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
)
def test_other_sizes_are_products_too(shape, layouts):
    a, b = factors(*shape)
    assert_is_product(product(layouts[0](a), layouts[1](b)), a, b)


@needs_native
def test_a_sum_of_nothing_is_zero():
    a, b = factors(5, 7, 0)
    assert torch.equal(product(a, b), torch.zeros(2, 5, 7))


@needs_native
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("rows", "columns", "depth"), [(13, 33, 25), (25, 31, 300), (1, 7, 1)])
def test_what_is_no_number_stays_in_its_row_and_column(layout, bad, rows, columns, depth):
    """The factors are positive, so that a sum with infinity is infinite."""
    a, b = (t.abs() + 0.1 for t in factors(rows, columns, depth))
    expected = product(layout(a), layout(b))
    spoilt_a, spoilt_b = a.clone(), b.clone()
    spoilt_a[1, rows - 1, depth // 2] = spoilt_b[1, depth - 1, columns // 2] = bad
    in_row, in_column = expected.clone(), expected.clone()
    in_row[1, rows - 1] = in_column[1, :, columns // 2] = bad
    computed = product(layout(spoilt_a), layout(b)), product(layout(a), layout(spoilt_b))
    exact = {"rtol": 0.0, "atol": 0.0, "equal_nan": True}
    torch.testing.assert_close(computed, (in_row, in_column), **exact)


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_has_the_same_bits_alone_and_in_a_stack(layout):
    for shape in [(13, 33, 300), (64, 100, 25), (1, 1, 784)]:
        a, b = map(layout, factors(*shape, runs=3))
        alone = [product(a[s : s + 1], b[s : s + 1]) for s in range(3)]
        assert torch.equal(product(a, b), torch.cat(alone))


@needs_native
@pytest.mark.parametrize("of_b", LAYOUTS)
@pytest.mark.parametrize("of_a", LAYOUTS)
def test_a_narrow_result_has_the_bits_of_those_columns_in_a_wide_one(of_a, of_b):
    for rows, columns, depth in [(32, 8, 16), (100, 7, 300), (65, 1, 128)]:
        a, b = factors(rows, 40, depth)
        wide = product(of_a(a), of_b(b))
        assert torch.equal(product(of_a(a), of_b(b[..., :columns])), wide[..., :columns])


@needs_native
@pytest.mark.slow
def test_a_narrow_result_has_these_bits_in_vectors_of_eight_too(tmp_path, monkeypatch):
    """Gcc fuses their chains of sums only where that is asked for, as it tunes for AMD's Zen."""
    folder, library = Path(product_room.__file__).parent, tmp_path / "products.so"
    sources = [str(folder / name) for name in ("product.c", "sparse.c")]
    flags = [*build.FLAGS, "-mno-avx512f", "-mtune=znver2"]
    try:
        build.run([*build.chosen_compiler(), *flags, *sources, "-o", str(library)])
    except build.BuildError as error:
        pytest.skip(str(error))
    products = ctypes.CDLL(str(library)).vaebench_products
    products.argtypes = c.functions().vaebench_products.argtypes
    monkeypatch.setattr(c, "functions", lambda: SimpleNamespace(vaebench_products=products))
    test_a_narrow_result_has_the_bits_of_those_columns_in_a_wide_one(plain, spread)


def test_what_stands_for_it_where_nothing_is_compiled_is_pytorchs_own():
    operation = product_operation()
    for of_a in LAYOUTS:
        a, b = factors(13, 33, 25)
        computed = operation(of_a(a), transposed(b))
        assert computed.is_contiguous()
        assert torch.equal(computed, torch.bmm(of_a(a), transposed(b)))


def test_its_shape_is_known_without_numbers():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        computed = product_operation()(transposed(torch.empty(2, 13, 25)), torch.empty(2, 25, 33))
    assert computed.shape == (2, 13, 33)
    assert computed.is_contiguous()
    assert computed.dtype == torch.float32
