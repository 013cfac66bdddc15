"""The kernels of the latent step, run on the CPU by Triton's interpreter, against float64.

`test_gpu.py` runs this file in a process of its own: TRITON_INTERPRET=1 must be set before
the kernels are imported, and then they cannot be compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.interpreter import Guarded, as_leaf, assert_close, random_like
from vaebench.ops import densities
from vaebench.ops import gpu as fused
from vaebench.ops.gpu import (
    latent_kl,
    latent_launch,
    latent_log_probs,
    launch,
    reparameterise_kl,
)
from vaebench.ops.noise import Noise, normals

KEYS = (3, 2**63 - 1, 2**62 + 2**32)
OP = torch.ops.vaebench
LOG_2PI = math.log(2.0 * math.pi)

SHAPES = [  # K, S, B, D, all different; B is no multiple of the tile's rows
    (5, 2, 300, 1),
    (1, 3, 5, 2),
    (5, 2, 3, 7),
    (1, 3, 37, 20),
    (5, 2, 1, 20),
    (50, 1, 3, 4),
    (5, 2, 19, 64),
    (1, 3, 11, 100),
    (1, 3, 5, 257),
    (2, 1, 3, 1030),  # wider than a tile
]

Op = Callable[..., tuple[Tensor, ...]]


def both(name: str, **options: bool) -> tuple[Op, Op]:
    """The kernel and its reference."""
    kernel, reference = getattr(fused, name), getattr(densities, name)
    return partial(kernel, **options), partial(reference, **options)


OPS = {
    "kl": both("reparameterise_kl"),
    "kl per dimension": both("reparameterise_kl_per_dimension"),
    "log probs": both("reparameterise_log_probs"),
    "path": both("reparameterise_log_probs", path=True),
}


def noise_of(num_runs: int, **first: int) -> Noise:
    return Noise(KEYS[:num_runs], **first)


def inputs(
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    log_vars: tuple[float, float] = (-3, 3),
) -> tuple[Tensor, Tensor]:
    """mu and log_var [S, B, D], leaves of a graph."""
    torch.manual_seed(7)
    mu = torch.randn(shape)
    spread = torch.empty(shape).uniform_(*log_vars)
    return mu.to(dtype).requires_grad_(), spread.to(dtype).requires_grad_()


def upstream(z: Tensor, kl: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(8)
    return torch.randn(z.shape).to(z), torch.randn(kl.shape).to(kl)


def reference(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int, *up: Tensor, op: str = "kl"
) -> tuple[Tensor, ...]:
    """Results and gradients to mu and log_var in float64."""
    mu, log_var = (x.detach().double().requires_grad_() for x in (mu, log_var))
    out = OPS[op][1](mu, log_var, noise, num_samples)
    return *out, *torch.autograd.grad(out, (mu, log_var), tuple(x.double() for x in up))


GUARDED = [
    *(("kl", shape) for shape in SHAPES if shape[0] < 50),
    *(("kl per dimension", SHAPES[i]) for i in (3, 9)),
    *(("path", SHAPES[i]) for i in (0, 3, 5, 8, 9)),
    ("log probs", SHAPES[6]),
]


@pytest.mark.parametrize("op, shape", GUARDED, ids=str)
def test_no_access_out_of_bounds(op: str, shape: tuple[int, ...], monkeypatch: Any) -> None:
    guarded = Guarded()
    num_samples, S, _, _ = shape
    for module in (latent_kl, latent_log_probs):
        real = module._outputs
        monkeypatch.setattr(module, "_outputs", lambda *a, real=real: guarded.like(*real(*a)))
    monkeypatch.setattr(latent_launch, "empty_like", lambda mu: guarded.output(*mu.shape))
    mu, log_var = (guarded.input(x) for x in inputs(shape[1:]))
    counters = list(KEYS[:S]), 1, 2, 3
    if op.startswith("kl"):
        out = OP.reparameterise_kl(mu, log_var, *counters, num_samples, op != "kl")
        up = (guarded.input(x) for x in random_like(*out))
        OP.reparameterise_kl_backward(mu, log_var, *up, *counters)
    else:
        out = OP.reparameterise_log_probs(mu, log_var, *counters, num_samples, op == "path")
        up = (guarded.input(x) for x in random_like(*out))
        OP.reparameterise_log_probs_backward(mu, log_var, *up, *counters, op == "path")
    assert len(guarded.outputs) == len(out) + 2
    guarded.check(shape)


WIDE = (-30, 20)
CASES = [
    *(("kl", shape, torch.float32, WIDE) for shape in SHAPES),
    *(("kl", shape, torch.bfloat16, WIDE) for shape in SHAPES[2:5]),
    *(("kl", shape, torch.float16, (-30, 8)) for shape in SHAPES[2:5]),  # overflows at 65504
    *(("kl per dimension", SHAPES[i], torch.float32, WIDE) for i in (3, 9)),
    ("kl per dimension", SHAPES[4], torch.bfloat16, WIDE),
    *(("path", shape, torch.float32, WIDE) for shape in SHAPES),
    *(("log probs", SHAPES[i], torch.float32, WIDE) for i in (2, 3, 4, 9)),
    *(("path", SHAPES[i], torch.bfloat16, WIDE) for i in (2, 4)),
    ("log probs", SHAPES[4], torch.bfloat16, WIDE),
    ("path", SHAPES[3], torch.float16, (-8, 8)),
]


@pytest.mark.parametrize("op, shape, dtype, log_vars", CASES, ids=str)
def test_values_and_gradients(
    op: str, shape: tuple[int, ...], dtype: torch.dtype, log_vars: tuple[float, float]
) -> None:
    num_samples, num_runs = shape[:2]
    mu, log_var = inputs(shape[1:], dtype, log_vars)
    noise = noise_of(num_runs, step=5)
    out = OPS[op][0](mu, log_var, noise, num_samples)
    assert out[0].shape == shape and out[0].dtype == dtype
    assert {x.dtype for x in out[1:]} == {torch.float32}
    up = random_like(*out)
    got = *out, *torch.autograd.grad(out, (mu, log_var), up)

    want = reference(mu, log_var, noise, num_samples, *up, op=op)
    sizes = terms_of(op, mu, log_var, noise, up)
    names = "z", *(f"output {i}" for i in range(1, len(out))), "dmu", "dlog_var"
    for name, *triple in zip(names, got, want, sizes, strict=True):
        assert_close(name, *triple)


def terms_of(
    op: str, mu: Tensor, log_var: Tensor, noise: Noise, up: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The size of what each result sums, with 1 beside a normal for its own error."""
    dz, *rest = (x.double().abs() for x in up)
    size, log_var = mu.detach().double().abs(), log_var.detach().double()
    std = log_var.mul(0.5).exp()
    eps = 1.0 + normals(noise, *(dz.shape[i] for i in (0, 2, 3))).double().abs()
    z = size + std * eps
    if op.startswith("kl"):
        dkl = rest[0] if rest[0].ndim == 3 else rest[0][..., None]
        kl = densities.gaussian_kl_per_dimension(size, log_var)  # all that it sums is positive
        return (
            size + std,
            kl if rest[0].ndim == 3 else kl.sum(-1),
            dz.sum(0) + dkl * size,
            dz.sum(0) * std + dkl * (1.0 + std.square()),
        )
    dq, dp = (x[..., None] for x in rest)
    through_z = dz + dp * z
    path = dq * eps / std if op == "path" else torch.zeros_like(z)
    return (
        size + std,
        (eps.square() + log_var.abs() + LOG_2PI).sum(-1),
        (z.square() + LOG_2PI).sum(-1),
        (through_z + path).sum(0),
        (through_z * eps * std + dq * eps.square()).sum(0),
    )


@pytest.mark.parametrize("which", ["log_q", "log_p", "both"])
def test_gradients_through_the_path_alone_are_those_of_z(which: str) -> None:
    """By the formulas themselves: d log q / d z = -(z - mu) / var, d log p / d z = -z."""
    mu, log_var = inputs((2, 5, 20))
    z, log_q, log_p = fused.reparameterise_log_probs(mu, log_var, noise_of(2), 3, path=True)
    outputs = {"log_q": (log_q,), "log_p": (log_p,), "both": (log_q, log_p)}[which]
    got = torch.autograd.grad([x.sum() for x in outputs], (mu, log_var))
    by_z = torch.zeros_like(z)
    if which != "log_p":
        by_z = by_z - ((z - mu) / log_var.exp()).detach()
    if which != "log_q":
        by_z = by_z - z.detach()
    want_mu = by_z.sum(0)
    want_log_var = (by_z * (z - mu).detach() / 2).sum(0)
    torch.testing.assert_close(got[0], want_mu, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got[1], want_log_var, rtol=1e-4, atol=1e-4)


def test_without_the_path_log_q_moves_with_log_var_alone() -> None:
    mu, log_var = inputs((2, 5, 20))
    _, log_q, _ = fused.reparameterise_log_probs(mu, log_var, noise_of(2), 3)
    dmu, dlog_var = torch.autograd.grad(log_q.sum(), (mu, log_var))
    assert not dmu.any()
    assert (dlog_var == -1.5).all()


def test_extra_steps_advance_the_noise_of_a_captured_graph() -> None:
    mu, log_var = inputs((2, 5, 20))
    want = reparameterise_kl(mu, log_var, noise_of(2, step=7), 3)
    dz, dkl = upstream(*want)
    want += torch.autograd.grad(want, (mu, log_var), (dz, dkl))
    extra = launch.extra_steps(mu.device)
    try:
        extra.add_(2)
        got = reparameterise_kl(mu, log_var, noise_of(2, step=5), 3)
        got += torch.autograd.grad(got, (mu, log_var), (dz, dkl))
    finally:
        extra.zero_()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_kl_near_the_prior_keeps_its_digits() -> None:
    """Where a posterior has collapsed, exp(log_var) - 1 - log_var is all cancellation."""
    mu, log_var = inputs((2, 3, 20), log_vars=(-1e-3, 1e-3))
    mu = mu.detach().mul(1e-3).requires_grad_()
    z, kl = reparameterise_kl(mu, log_var, noise_of(2))
    dz, dkl = torch.zeros_like(z), torch.ones_like(kl)
    gradients = torch.autograd.grad((z, kl), (mu, log_var), (dz, dkl))
    _, want_kl, *want = reference(mu, log_var, noise_of(2), 1, dz, dkl)
    torch.testing.assert_close(kl.double(), want_kl, rtol=1e-6, atol=0)
    for got, wanted in zip(gradients, want, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-6, atol=0)


Layout = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def halves(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    first, second = torch.cat([mu, log_var], -1).chunk(2, -1)
    return first, second


def transposed(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    a, b = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in (mu, log_var))
    return a, b


def columns_first(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    a, b = (x.mT.contiguous().mT for x in (mu, log_var))
    return a, b


def one_of_each(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return halves(mu, mu)[0], log_var


@pytest.mark.parametrize("layout", [halves, transposed, columns_first, one_of_each])
def test_layout_of_the_inputs_does_not_matter(layout: Layout) -> None:
    leaves = inputs((2, 37, 20))
    results = []
    for arrange in (layout, lambda a, b: (a, b)):
        mu, log_var = arrange(*leaves)
        z, kl = reparameterise_kl(mu, log_var, noise_of(2), 3)
        results.append((z, kl, *torch.autograd.grad((z, kl), leaves, upstream(z, kl))))
    assert not all(x.is_contiguous() for x in layout(*leaves))
    for got, want in zip(*results, strict=True):
        assert torch.equal(got, want)


def test_a_log_var_shared_by_all_rows() -> None:
    mu, log_var = inputs((2, 37, 20))
    shared = as_leaf(log_var[:, :1])
    z, kl = reparameterise_kl(mu, shared.expand_as(mu), noise_of(2))
    want_z, want_kl = densities.reparameterise_kl(mu, shared, noise_of(2))
    torch.testing.assert_close(z, want_z, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(kl, want_kl, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("which", ["sum of both", "z", "kl", "samples first", "one weight per run"])
def test_layout_of_the_upstream_gradients_does_not_matter(which: str) -> None:
    mu, log_var = inputs((2, 37, 20))
    z, kl = reparameterise_kl(mu, log_var, noise_of(2), 3)
    dz, dkl = upstream(z, kl)
    if which == "z":
        loss, dkl = (z * dz).sum(), torch.zeros_like(kl)
    elif which == "kl":
        loss, dz = (kl * dkl).sum(), torch.zeros_like(z)
    elif which == "sum of both":
        loss, dz, dkl = z.sum() + kl.sum(), torch.ones_like(z), torch.ones_like(kl)
    elif which == "samples first":
        loss = (z.contiguous() * dz).sum() + (kl.mT.contiguous() * dkl.mT).sum()
    else:
        dz, dkl = torch.zeros_like(z), torch.tensor([[2.0], [3.0]]).expand_as(kl)
        loss = (kl.sum(-1) * torch.tensor([2.0, 3.0])).sum()
    got = torch.autograd.grad(loss, (mu, log_var))
    *_, dmu, dlog_var = reference(mu, log_var, noise_of(2), 3, dz, dkl)
    torch.testing.assert_close(got[0].double(), dmu, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got[1].double(), dlog_var, rtol=1e-5, atol=1e-4)


def test_halves_read_only_their_own_columns() -> None:
    """A chunk has its sibling, not a pad, beside each row."""
    h = torch.full((2, 37, 60), torch.nan)
    h[..., 20:40] = 0.5
    part = h[..., 20:40]
    z, kl = reparameterise_kl(part, part, noise_of(2), 3)
    assert not z.isnan().any() and not kl.isnan().any()


def test_backward_keeps_the_inputs_and_nothing_else() -> None:
    mu, log_var = inputs((2, 5, 20))
    kept: list[int] = []

    def pack(x: Tensor) -> Tensor:
        kept.append(x.data_ptr())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        reparameterise_kl(mu, log_var, noise_of(2), 3)
    assert sorted(kept) == sorted([mu.data_ptr(), log_var.data_ptr()])


def test_z_is_laid_out_for_the_decoders() -> None:
    z, _ = reparameterise_kl(*inputs((2, 5, 20)), noise_of(2), 3)
    flat = z.transpose(0, 1).flatten(1, 2)
    assert flat.data_ptr() == z.data_ptr()


def test_empty_batches() -> None:
    z, kl = reparameterise_kl(torch.empty(2, 0, 20), torch.empty(2, 0, 20), noise_of(2), 3)
    assert z.shape == (3, 2, 0, 20) and kl.shape == (2, 0)


@pytest.mark.parametrize("per_dimension", [False, True])
def test_opcheck(per_dimension: bool) -> None:
    mu, log_var = inputs((2, 5, 20))
    counters = list(KEYS[:2]), 1, 2, 3
    torch.library.opcheck(OP.reparameterise_kl, (mu, log_var, *counters, 3, per_dimension))
    plain = mu.detach(), log_var.detach()
    out = OP.reparameterise_kl(*plain, *counters, 3, per_dimension)
    arguments = *plain, *random_like(*out), *counters
    torch.library.opcheck(OP.reparameterise_kl_backward, arguments)


@pytest.mark.parametrize("path", [False, True])
def test_opcheck_of_log_probs(path: bool) -> None:
    mu, log_var = inputs((2, 5, 20))
    counters = list(KEYS[:2]), 1, 2, 3
    torch.library.opcheck(OP.reparameterise_log_probs, (mu, log_var, *counters, 3, path))
    plain = mu.detach(), log_var.detach()
    out = OP.reparameterise_log_probs(*plain, *counters, 3, path)
    arguments = *plain, *random_like(*out), *counters, path
    torch.library.opcheck(OP.reparameterise_log_probs_backward, arguments)


def test_compiles_whole_and_once_for_all_steps() -> None:
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")

    def loss(h: Tensor, noise: Noise) -> Tensor:
        mu, log_var = h.chunk(2, -1)
        z, kl = reparameterise_kl(mu, log_var, noise, 3)
        _, log_q, log_p = fused.reparameterise_log_probs(mu, log_var, noise, 3, path=True)
        return (z.square().sum((0, -1)) + kl).sum() + (log_q - log_p).sum()

    compiled = torch.compile(loss, fullgraph=True, backend=counter)
    h = as_leaf(torch.cat(inputs((2, 5, 20)), -1))
    for step in (3, 4, 5, 2**31 + 5):
        noise = noise_of(2, step=step)
        got = torch.autograd.grad(compiled(h, noise), h)[0]
        want = torch.autograd.grad(loss(h, noise), h)[0]
        torch.testing.assert_close(got, want)
    assert counter.frame_count <= 2  # the second step turns the number into a variable


def test_is_differentiable_once() -> None:
    mu, log_var = inputs((2, 3, 4))
    _, kl = reparameterise_kl(mu, log_var, noise_of(2))
    (dmu,) = torch.autograd.grad(kl.sum(), mu, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(dmu.sum(), mu)


@pytest.mark.parametrize(
    "mu, log_var, keys, num_samples, message",
    [
        (torch.zeros(2, 3, 4), torch.zeros(2, 3, 5), 2, 1, "one shape"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3, 4).half(), 2, 1, "float16"),
        (torch.zeros(2, 3, 4).double(), torch.zeros(2, 3, 4).double(), 2, 1, "float64"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), 3, 1, "3 keys"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), 2, 0, "0 samples"),
        (torch.zeros(3, 4), torch.zeros(3, 4), 2, 1, r"\[S, B, D\]"),
    ],
)
def test_refuses(mu: Tensor, log_var: Tensor, keys: int, num_samples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reparameterise_kl(mu, log_var, noise_of(keys), num_samples)


def test_shapes_tell_the_axes_apart() -> None:
    assert all(len(set(shape)) == 4 for shape in SHAPES)
