"""The kernels of the likelihoods, run by Triton's interpreter, against float64.

`test_gpu.py` runs this file in a process of its own, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.interpreter import FP32, Guarded, as_leaf, assert_close, random_like
from vaebench.ops import densities
from vaebench.ops import gpu as fused
from vaebench.ops.gpu import likelihood_launch

OP = torch.ops.vaebench
SHAPES = [(5, 2, 300, 1), (2, 3, 5, 7), (1, 3, 37, 20), (3, 2, 1, 64), (50, 1, 2, 100)]
SHAPES += [(1, 3, 11, 257), (2, 1, 3, 1030)]  # K, S, B, P; the last is wider than a tile
LAWS = ["bernoulli", "gaussian", "gaussian of one sigma", "continuous_bernoulli"]
LAWS += ["discretised_logistic"]


def op_of(law: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    name = f"{law.split(' ')[0]}_log_prob"
    return getattr(fused, name), getattr(densities, name)


def pixels(law: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """x [S, B, P]: bits, levels with both ends among them, or intensities."""
    torch.manual_seed(3)
    levels = torch.randint(0, 256, shape)
    levels.view(-1)[::5], levels.view(-1)[1::5] = 0, 255
    if law == "bernoulli":
        return (levels > 127).to(dtype)
    return levels.to(torch.uint8) if dtype == torch.uint8 else (levels / 255).to(dtype)


def parameters(law: str, shape: tuple[int, ...], dtype: torch.dtype, wide: bool) -> list[Tensor]:
    torch.manual_seed(4)
    spread = 30.0 if wide else 3.0
    first = spread * torch.randn(shape)
    if law in ("bernoulli", "continuous_bernoulli"):
        first.view(-1)[::7] = 0.0
        first.view(-1)[1::7] *= 1e-3
        return [first.to(dtype)]
    if law == "gaussian of one sigma":
        return [torch.randn(shape).to(dtype), torch.randn(shape[1], 1, 1)]
    low, high = ((-30, 20) if wide else (-3, 3)) if law == "gaussian" else (-7.7, 3)
    return [torch.randn(shape).to(dtype), torch.empty(shape).uniform_(low, high).to(dtype)]


def in_double(law: str, x: Tensor) -> Tensor:
    return x.double() / (255 if x.dtype == torch.uint8 and law != "bernoulli" else 1)


def sizes(law: str, x: Tensor, inputs: list[Tensor], up: Tensor) -> list[Tensor]:
    """The size of the terms of the value and of each gradient: differences lose digits."""
    up = up.double().abs()[..., None]
    x, a = in_double(law, x), inputs[0].double()
    if law in ("bernoulli", "continuous_bernoulli"):
        return [(1.0 + a.abs()).sum(-1), up.expand_as(a)]
    b = inputs[1].double().expand(*a.shape[:-1], inputs[1].shape[-1])
    inverse = torch.exp(-b if law == "discretised_logistic" else -0.5 * b)
    distance = (x.abs() + a.abs() + 1.0) * inverse
    if law == "discretised_logistic":
        return [
            (distance + b.abs() + 10).sum(-1),
            up * inverse * (1 + distance),
            up * (1 + distance) ** 2,
        ]
    square = distance.square() + 1.0
    by_b = up * square
    if inputs[1].shape != inputs[0].shape:
        by_b = by_b.sum((0, 2, 3), keepdim=True)[0]
    return [(square + b.abs() + 2).sum(-1), up * distance * inverse, by_b]


CASES = [
    *((law, shape, torch.float32, torch.float32) for law in LAWS[:3] for shape in SHAPES[1:4]),
    *((law, shape, torch.float32, torch.float32) for law in LAWS[3:] for shape in SHAPES),
    *((law, SHAPES[2], torch.float32, torch.uint8) for law in LAWS),
    *((law, SHAPES[1], torch.bfloat16, torch.bfloat16) for law in LAWS),
    *((law, SHAPES[1], torch.float16, torch.uint8) for law in LAWS[:4]),
]


@pytest.mark.parametrize("law, shape, dtype, stored", CASES, ids=str)
def test_values_and_gradients(
    law: str, shape: tuple[int, ...], dtype: torch.dtype, stored: torch.dtype
) -> None:
    fused_op, reference = op_of(law)
    x = pixels(law, shape[1:], stored)
    inputs = parameters(law, shape, dtype, wide=dtype == torch.float32)
    leaves, wanted = [as_leaf(p) for p in inputs], [as_leaf(p.double()) for p in inputs]
    out = fused_op(x, *leaves)
    assert out.shape == shape[:-1] and out.dtype == torch.float32
    (up,) = random_like(out)
    got = out, *torch.autograd.grad(out, leaves, up)
    want = reference(in_double(law, x), *wanted)
    want = want, *torch.autograd.grad(want, wanted, up.double())
    names = "log_prob", "first gradient", "second gradient"
    terms = sizes(law, x, inputs, up)
    for name, *triple in zip(names[: len(got)], got, want, terms, strict=True):
        assert_close(name, *triple)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2], SHAPES[6]], ids=str)
def test_no_access_out_of_bounds(law: str, shape: tuple[int, ...], monkeypatch: Any) -> None:
    guarded = Guarded()
    rows = likelihood_launch.empty_rows
    monkeypatch.setattr(likelihood_launch, "empty_rows", lambda a: guarded.output(*rows(a).shape))
    x = guarded.input(pixels(law, shape[1:], torch.float32)).expand(shape)
    a, *rest = (guarded.input(p) for p in parameters(law, shape, torch.float32, wide=False))
    b = rest[0] if rest else None
    if law == "gaussian of one sigma":
        b = rest[0][..., 0].expand(shape[:-1])
    law = law.split(" ")[0]
    log_prob = OP.likelihood_rows(x, a, b, law)
    monkeypatch.undo()
    real = likelihood_launch.empty_gradients
    monkeypatch.setattr(likelihood_launch, "empty_gradients", lambda *t: guarded.like(*real(*t)))
    OP.likelihood_rows_backward(x, a, b, guarded.input(*random_like(log_prob)), law)
    guarded.check((law, shape))


def test_near_certain_pixels_keep_their_digits() -> None:
    """-log p of a pixel that is certain to 1e-10 is 1e-10, not 0."""
    logits = torch.tensor([[[[23.0, 8.0, -12.0]]]])
    x = torch.tensor([[[1.0, 1.0, 0.0]]])
    got = fused.bernoulli_log_prob(x, logits)
    want = densities.bernoulli_log_prob(x.double(), logits.double())
    torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("logit", [0.0, 1e-6, -1e-6, 0.19, 0.21, -0.999, 1.001, -50.0, 200.0])
def test_continuous_bernoulli_is_smooth_where_its_branches_meet(logit: float) -> None:
    leaf = torch.full((1, 1, 1, 4), logit).requires_grad_()
    x = torch.tensor([[[0.0, 0.3, 0.5, 1.0]]])
    log_prob = fused.continuous_bernoulli_log_prob(x, leaf)
    (got,) = torch.autograd.grad(log_prob.sum(), leaf)
    double = leaf.detach().double().requires_grad_()
    wanted = densities.continuous_bernoulli_log_prob(x.double(), double)
    (want,) = torch.autograd.grad(wanted.sum(), double)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-6)
    torch.testing.assert_close(log_prob.double(), wanted, rtol=1e-6, atol=1e-6)


def stacked(x: Tensor) -> Tensor:
    """[K, S, B, P] as the decoders of S runs leave it, run by run."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def halves(x: Tensor) -> Tensor:
    return torch.cat([x, x], -1).chunk(2, -1)[0]


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "stacked": stacked,
    "halves": halves,
    "stacked halves": lambda x: halves(stacked(x)),
    "columns first": lambda x: x.mT.contiguous().mT,
    "expanded": lambda x: x[:1, :1].expand_as(x),
    "one row for all": lambda x: x[..., :1, :].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout: str) -> None:
    shape = (3, 2, 19, 20)
    inputs = [LAYOUTS[layout](p) for p in parameters("gaussian", shape, torch.float32, wide=False)]
    x = LAYOUTS[layout](pixels("gaussian", (1, *shape[1:]), torch.float32).expand(shape))[0]
    results = []
    for arrange in (lambda p: p, Tensor.contiguous):
        leaves = [arrange(p).requires_grad_() for p in inputs]
        out = fused.gaussian_log_prob(arrange(x), *leaves)
        loss = (out * torch.arange(3.0)[:, None, None]).sum()
        results.append((out, *torch.autograd.grad(loss, leaves)))
    for got, want in zip(*results, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    "x_shape, log_var_shape",
    [((7,), (1,)), ((5, 7), (7,)), ((1, 5, 7), (2, 1, 1)), ((2, 5, 7), (3, 2, 5, 1)),
     ((3, 2, 5, 7), (2, 5, 7)), ((2, 5, 7), (1, 1, 1, 1))],
)  # fmt: skip
def test_broadcasting(x_shape: tuple[int, ...], log_var_shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x = torch.rand(x_shape)
    leaves = [torch.randn(3, 2, 5, 7).requires_grad_(), torch.randn(log_var_shape).requires_grad_()]
    got, want = (f(x, *leaves) for f in op_of("gaussian"))
    (up,) = random_like(got)
    torch.testing.assert_close(got, want)
    for a, b in zip(*(torch.autograd.grad(y, leaves, up) for y in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7)])
def test_fewer_axes(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x, logits = torch.rand(shape).round(), torch.randn(shape)
    got, want = (f(x, logits) for f in op_of("bernoulli"))
    torch.testing.assert_close(got, want)


def test_backward_keeps_the_inputs_and_nothing_else() -> None:
    x, logits = torch.rand(2, 5, 7), torch.randn(3, 2, 5, 7).requires_grad_()
    kept: list[int] = []

    def pack(saved: Tensor) -> Tensor:
        kept.append(saved.data_ptr())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        fused.bernoulli_log_prob(x, logits)
    assert sorted(kept) == sorted([x.data_ptr(), logits.data_ptr()])


@pytest.mark.parametrize("law", ["bernoulli", "gaussian", "gaussian of one sigma"])
def test_opcheck(law: str) -> None:
    shape = (3, 2, 5, 7)
    x = pixels(law, shape[1:], torch.float32).expand(shape)
    a, *rest = parameters(law, shape, torch.float32, wide=False)
    b = rest[0] if rest else None
    if law == "gaussian of one sigma":
        b = torch.randn(shape[:-1])
    law = law.split(" ")[0]
    leaves = [None if p is None else as_leaf(p) for p in (a, b)]
    torch.library.opcheck(OP.likelihood_rows, (x, *leaves, law))
    log_prob = OP.likelihood_rows(x, a, b, law)
    torch.library.opcheck(OP.likelihood_rows_backward, (x, a, b, *random_like(log_prob), law))


def test_compiles_whole() -> None:
    def loss(x: Tensor, out: Tensor, log_var: Tensor) -> Tensor:
        mu, raw = out.chunk(2, -1)
        per_pixel = fused.gaussian_log_prob(x, mu, raw)
        return (per_pixel + fused.gaussian_log_prob(x, mu, log_var)).sum()

    x, leaves = torch.rand(2, 5, 7), [torch.randn(3, 2, 5, 14), torch.randn(2, 1, 1)]
    leaves = [p.requires_grad_() for p in leaves]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    got = torch.autograd.grad(compiled(x, *leaves), leaves)
    for a, b in zip(got, torch.autograd.grad(loss(x, *leaves), leaves), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "x, logits, message",
    [
        (torch.zeros(5, 7).requires_grad_(), torch.zeros(5, 7), "gradient to the pixels"),
        (torch.zeros(5, 7), torch.zeros(5, 7).double(), "float64"),
        (torch.zeros(5, 7).double(), torch.zeros(5, 7), "float64"),
        (torch.zeros(5, 1), torch.zeros(5, 7), "pixels"),
        (torch.zeros(3, 5, 7), torch.zeros(5, 7), "pixels"),
    ],
)
def test_refuses(x: Tensor, logits: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fused.bernoulli_log_prob(x, logits)


def test_the_error_allowed_is_small() -> None:
    assert FP32 <= 5e-6
