"""The kernels of importance weighting, run by Triton's interpreter, against float64.

`test_gpu.py` runs this file in a process of its own, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.interpreter import Guarded, assert_close, random_like
from vaebench.ops import densities
from vaebench.ops.gpu import importance_launch, importance_weights

# numpy, which the interpreter computes with, warns of log 0 and 0 / 0, in lanes beyond the last row
# and where all samples have no weight.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

OP = torch.ops.vaebench
MANY = 2 * importance_launch.REACH + 100  # three blocks, the last one not full

SHAPES = [(1, 3, 5), (2, 1, 1), (5, 2, 300), (50, 3, 37), (257, 1, 9), (MANY, 2, 3)]  # K, S, B


def log_weights(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Far apart in float32, less so in 16 bits, whose smallest the interpreter gets wrong."""
    torch.manual_seed(5)
    spread = 20.0 if dtype == torch.float32 else 2.0
    return (spread * torch.randn(shape) - 500.0).to(dtype).requires_grad_()


def reference(log_w: Tensor, dbound: Tensor) -> tuple[Tensor, ...]:
    log_w = log_w.detach().double().requires_grad_()
    out = densities.importance_weights(log_w)
    return *out, *torch.autograd.grad(out[0], log_w, dbound.double())


CASES = [
    *((shape, torch.float32) for shape in SHAPES),
    (SHAPES[3], torch.bfloat16),
    (SHAPES[3], torch.float16),
]


@pytest.mark.parametrize("shape, dtype", CASES, ids=str)
def test_values_and_gradients(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    log_w = log_weights(shape, dtype)
    out = importance_weights(log_w)
    assert [x.dtype for x in out] == [torch.float32, dtype, torch.float32]
    (dbound,) = random_like(out[0])
    got = *out, *torch.autograd.grad(out[0], log_w, dbound)
    *want, gradient = reference(log_w, dbound)
    if dtype != torch.float32:
        gradient = out[1].double() * dbound.double()  # of the weights as they were stored
    # Weights are taken relative to the largest: float32 keeps log_w to 1e-7 of its size.
    size = log_w.detach().double().abs().amax(0).mul(0.1)
    weights = want[1] * (1.0 + size)
    weights = weights + torch.finfo(torch.float32).tiny  # below that, float32 has fewer digits
    sizes = size + 1.0, weights, want[2] * (1.0 + size), weights * (1.0 + dbound.double().abs())
    names = "bound", "weights", "ess", "gradient"
    for name, *triple in zip(names, got, (*want, gradient), sizes, strict=True):
        assert_close(name, *triple)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_access_out_of_bounds(shape: tuple[int, ...], monkeypatch: Any) -> None:
    guarded = Guarded()
    real = importance_launch.empty_results
    monkeypatch.setattr(importance_launch, "empty_results", lambda x: guarded.like(*real(x)))
    bound, weights, _ = OP.importance_weights(guarded.input(log_weights(shape)))
    monkeypatch.setattr(torch, "empty_like", lambda x: guarded.output(*x.shape))
    upstream = guarded.input(*random_like(bound))
    OP.importance_weights_backward(guarded.input(weights), upstream)
    assert len(guarded.outputs) == 4
    guarded.check(shape)


@pytest.mark.parametrize("num_samples", [5, MANY])
def test_samples_of_no_weight(num_samples: int) -> None:
    """log 0 is -inf: some samples, a whole first block, or all of them."""
    log_w = log_weights((num_samples, 1, 4)).detach()
    log_w[0, 0, 0] = -torch.inf
    log_w[:-1, 0, 1] = -torch.inf
    log_w[:, 0, 2] = -torch.inf
    bound, weights, ess = importance_weights(log_w)
    want = densities.importance_weights(log_w)
    for got, wanted in zip((bound, weights, ess), want, strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True, rtol=1e-4, atol=1e-5)
    assert bound[0, 2] == -torch.inf
    assert ess[0, 1] == 1.0


def test_equal_weights_and_one_heavy_weight() -> None:
    log_w = torch.full((50, 1, 2), -1000.0)
    log_w[7, 0, 1] = 1000.0
    bound, _, ess = importance_weights(log_w)
    torch.testing.assert_close(ess, torch.tensor([[50.0, 1.0]]))
    torch.testing.assert_close(bound[0, 0], torch.tensor(-1000.0))


def test_only_the_bound_has_a_gradient() -> None:
    bound, weights, ess = importance_weights(log_weights((5, 2, 3)))
    assert bound.requires_grad and not weights.requires_grad and not ess.requires_grad


@pytest.mark.parametrize("layout", ["samples last", "transposed", "expanded", "every second"])
def test_layout_does_not_matter(layout: str) -> None:
    log_w = log_weights((5, 3, 37)).detach()
    arranged = {
        "samples last": lambda: log_w.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        "transposed": lambda: log_w.mT.contiguous().mT,
        "expanded": lambda: log_w[:1].expand_as(log_w),
        "every second": lambda: log_w.repeat_interleave(2, 0)[::2],
    }[layout]()
    dense = arranged.contiguous().requires_grad_()
    strided = arranged.requires_grad_()
    results = []
    for x in (strided, dense):
        out = importance_weights(x)
        weight = torch.arange(3.0)[:, None]  # an expanded upstream gradient
        results.append(
            (*out, *torch.autograd.grad((out[0].sum(1, keepdim=True) * weight).sum(), x))
        )
    for got, want in zip(*results, strict=True):
        assert torch.equal(got, want)


def test_opcheck() -> None:
    log_w = log_weights((5, 2, 3))
    torch.library.opcheck(OP.importance_weights, (log_w,))
    bound, weights, _ = importance_weights(log_w.detach())
    torch.library.opcheck(OP.importance_weights_backward, (weights, bound))


def test_compiles_whole() -> None:
    def loss(log_w: Tensor) -> Tensor:
        bound, weights, ess = importance_weights(log_w)
        return bound.sum() + (weights * log_w).sum() + ess.sum()

    log_w = log_weights((5, 2, 3))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    got = torch.autograd.grad(compiled(log_w), log_w)[0]
    torch.testing.assert_close(got, torch.autograd.grad(loss(log_w), log_w)[0])


@pytest.mark.parametrize(
    "log_w", [torch.zeros(3, 4), torch.zeros(0, 2, 3), torch.zeros(2, 3, 4).double()]
)
def test_refuses(log_w: Tensor) -> None:
    with pytest.raises(ValueError, match=r"\[K, S, B\]"):
        importance_weights(log_w)
