"""Which way an operation takes: the same names everywhere, and a record of the choice."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from vaebench import ops
from vaebench.ops import c, cpu, densities, dispatch
from vaebench.ops.c import fused as cpu_native
from vaebench.ops.noise import Noise
from vaebench.ops.recorded_draws import Recording

NOISE = Noise((3, 4))
X = torch.rand(2, 5, 7)


def arguments(op: str, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    torch.manual_seed(0)
    a, b = torch.randn(3, 2, 5, 7, dtype=dtype), torch.randn(3, 2, 5, 7, dtype=dtype)
    if op.startswith("reparameterise"):
        return a[0], b[0], NOISE, 3
    if op == "importance_weights":
        return (a[..., 0],)
    x = X.round() if op.startswith("bernoulli") else X
    two = op.startswith(("gaussian", "discretised"))
    return (x.to(dtype), a, b) if two else (x.to(dtype), a)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, "_taken", {})
    monkeypatch.setattr(dispatch, "_said", set())
    yield


@pytest.mark.parametrize("op", ops.OPERATIONS)
def test_names_and_signatures_are_those_of_the_reference(op: str) -> None:
    want = inspect.signature(getattr(densities, op))
    assert inspect.signature(getattr(ops, op)) == want
    for module in (cpu, cpu_native):
        if op in module.__all__:
            assert inspect.signature(getattr(module, op)) == want


@pytest.mark.parametrize("op", ops.OPERATIONS)
def test_signatures_of_the_kernels(op: str) -> None:
    pytest.importorskip("triton", reason="the kernels need triton, which is not installed")
    from vaebench.ops import gpu as fused

    assert inspect.signature(getattr(fused, op)) == inspect.signature(getattr(densities, op))


@pytest.mark.parametrize("op", ops.OPERATIONS)
def test_float64_takes_the_reference(op: str) -> None:
    inputs = arguments(op, torch.float64)
    got, want = (getattr(module, op)(*inputs) for module in (ops, densities))
    for a, b in zip(_tuple(got), _tuple(want), strict=True):
        assert torch.equal(a, b)
    assert ops.paths() == {op: "reference: float64 on cpu"}


def way_on_a_cpu(op: str, problem: str) -> str:
    if op not in cpu_native.__all__:
        return "cpu"
    if not problem:
        return "cpu native"
    return f"{'cpu, ' if op in cpu.__all__ else 'reference: '}not native: {problem}"


@pytest.mark.parametrize("native_code", ["as it is", "without"])
@pytest.mark.parametrize("op", ops.OPERATIONS)
def test_float32_on_a_cpu(
    op: str,
    native_code: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if native_code == "without":
        monkeypatch.setattr(c, "_loaded", lambda: (None, "no compiler"))
    inputs = arguments(op)
    c.library()  # which says its own, once
    with caplog.at_level(logging.INFO, "vaebench.ops"):
        got, _ = (getattr(ops, op)(*inputs) for _ in range(2))
    for a, b in zip(_tuple(got), _tuple(getattr(densities, op)(*inputs)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert ops.paths() == {op: way_on_a_cpu(op, c.problem())}
    assert len(caplog.records) == 1  # said once


def _tuple(x: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("op", [op for op in ops.OPERATIONS if op.endswith("log_prob")])
def test_pixels_of_one_byte(op: str) -> None:
    levels = torch.randint(0, 256, (2, 5, 7), dtype=torch.uint8)
    x = levels / 255
    if op == "bernoulli_log_prob":
        levels, x = levels % 2, (levels % 2).float()
    _, *parameters = arguments(op)
    torch.testing.assert_close(
        getattr(ops, op)(levels, *parameters), getattr(densities, op)(x, *parameters)
    )


def test_a_gradient_to_the_pixels_takes_the_reference() -> None:
    x = X.clone().requires_grad_()
    _, mu, log_var = arguments("gaussian_log_prob")
    (gradient,) = torch.autograd.grad(ops.gaussian_log_prob(x, mu, log_var).sum(), x)
    assert gradient.any()
    assert ops.paths() == {"gaussian_log_prob": "reference: a gradient to the pixels"}


def test_shapes_that_only_the_reference_takes() -> None:
    z = torch.randn(3, 2, 5, 1, 7)
    ops.gaussian_log_prob(z, torch.randn(2, 5, 4, 7), torch.zeros(7))
    assert "reference: pixels" in ops.paths()["gaussian_log_prob"]


def test_transforms_of_torch_func_take_the_reference() -> None:
    x, mu, log_var = arguments("gaussian_log_prob")
    got = torch.func.vmap(lambda mu: ops.gaussian_log_prob(x, mu, log_var[0]))(mu)
    torch.testing.assert_close(got, densities.gaussian_log_prob(x, mu, log_var[0]))


def test_what_a_reference_alone_takes_is_not_read_by_address() -> None:
    mu, log_var = torch.randn(1, 5, 7), torch.randn(1, 5, 7)
    z, _ = ops.reparameterise_kl(mu, log_var, NOISE)  # one mean, broadcast to two runs
    assert z.shape == (1, 2, 5, 7)
    assert ops.paths() == {"reparameterise_kl": "reference: 2 keys for 1 runs"}


def test_a_tape_hands_out_the_numbers() -> None:
    recording = Recording(NOISE.step, NOISE.keys)
    mu, log_var = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    ops.reparameterise_kl(mu, log_var, replace(NOISE, source=recording))
    assert [draw.sizes for draw in recording.draws] == [(1, 5, 7)]


def test_a_trace_sees_the_operations() -> None:
    log_w = torch.randn(3, 2, 5)
    traced = make_fx(lambda log_w: ops.importance_weights(log_w)[0])(log_w)
    other = torch.randn(3, 2, 5)
    torch.testing.assert_close(traced(other), densities.importance_weights(other)[0])


COMPILED = ["bernoulli_log_prob", "gaussian_log_prob", "continuous_bernoulli_log_prob"]


@pytest.mark.parametrize("op", COMPILED)
def test_compiles_whole(op: str) -> None:
    x, *parameters = arguments(op)
    leaves = [p.requires_grad_() for p in parameters]
    compiled = torch.compile(getattr(ops, op), fullgraph=True, backend="aot_eager")
    got = torch.autograd.grad(compiled(x, *leaves).sum(), leaves)
    want = torch.autograd.grad(getattr(ops, op)(x, *leaves).sum(), leaves)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


class OnGpu:
    """Stands for a tensor on a GPU, as far as the choice looks."""

    is_cuda = True

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


@pytest.mark.parametrize(
    "dtype, problem, has_triton, way",
    [
        (torch.float32, None, True, "triton"),
        (torch.bfloat16, None, True, "triton"),
        (torch.float64, None, True, "reference: float64"),
        (torch.float32, "2 axes", True, "reference: 2 axes"),
        (torch.float32, None, False, "reference: triton is not installed"),
    ],
)
def test_the_choice_on_a_gpu(
    dtype: torch.dtype,
    problem: str | None,
    has_triton: bool,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if has_triton:
        pytest.importorskip("triton", reason="the kernels need triton, which is not installed")
    monkeypatch.setattr(dispatch, "has_triton", lambda: has_triton)
    module = dispatch.implementation("reparameterise_kl", OnGpu(dtype), lambda: problem)  # type: ignore[arg-type]
    assert ops.paths() == {"reparameterise_kl": way}
    assert (module is densities) == way.startswith("reference")
