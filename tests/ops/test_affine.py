"""Affine maps: the same numbers to rounding in C and by PyTorch, and in C to the last bit."""

import pytest
import torch

from vaebench.core.timing import threads
from vaebench.ops import c
from vaebench.ops.affine import affine
from vaebench.ops.c import product

needs_native = pytest.mark.skipif(bool(c.problem()), reason=c.problem())


def maps(num_rows=70, num_runs=3, num_inputs=65, num_outputs=33):
    draw = torch.Generator().manual_seed(0)
    sizes = (num_rows, num_inputs), (num_inputs, num_outputs), (1, num_outputs)
    return [torch.randn(num_runs, *size, generator=draw) for size in sizes]


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("differentiates", [True, False])
def test_it_is_the_affine_map(num_threads, dtype, differentiates):
    x, weight, bias = maps()
    exact = x.double() @ weight.double() + bias.double()
    with threads(num_threads), torch.set_grad_enabled(differentiates):
        out = affine(x.to(dtype), weight.to(dtype), bias.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact, rtol=1e-4, atol=1e-4)


@needs_native
@torch.no_grad()
def test_a_row_has_the_same_bits_whatever_is_beside_it():
    x, weight, bias = maps()
    with threads(1):
        whole = affine(x, weight, bias)
        for run, row in [(0, 0), (1, 33), (2, 69)]:
            here = slice(run, run + 1)
            alone = affine(x[here, row : row + 1], weight[here], bias[here])
            assert torch.equal(alone[0, 0], whole[run, row])


@needs_native
@pytest.mark.parametrize("num_runs", [1, 3, 4])
@torch.no_grad()
def test_threads_share_the_rows_and_change_no_bit(num_runs, monkeypatch):
    """Runs that threads share evenly, and that they do not; more threads than rows."""
    monkeypatch.setattr(product, "FEWEST", 1)
    for x, weight, bias in (maps(num_runs=num_runs), maps(num_runs=num_runs, num_rows=1)):
        outs = []
        for num_threads in (1, 2, 3):
            with threads(num_threads):
                outs.append(affine(x, weight, bias))
        assert all(torch.equal(out, outs[0]) for out in outs[1:])


@torch.no_grad()
def test_one_image_for_all_runs_is_read_where_it_lies():
    x, weight, bias = maps(num_runs=1)
    weights, biases = weight.expand(4, -1, -1), bias.expand(4, -1, -1)
    with threads(1):
        out = affine(x.expand(4, -1, -1), weights, biases)
    torch.testing.assert_close(out, affine(x, weight, bias).expand(4, -1, -1))


def test_its_gradients_are_pytorchs():
    x, weight, bias = (t.requires_grad_() for t in maps())
    with threads(1):
        affine(x, weight, bias).sum().backward()
    expected = torch.autograd.grad(torch.baddbmm(bias, x, weight).sum(), [x, weight, bias])
    assert all(torch.equal(t.grad, e) for t, e in zip((x, weight, bias), expected, strict=True))
