"""The Triton kernels, run on the CPU by Triton's interpreter, against float64.

`test_reparam_kl.py` runs this file in a process of its own: TRITON_INTERPRET=1 must be set before
the kernels are imported, and then they cannot be compiled. The interpreter costs 10 to 20 ms per
program, shows no races, and truncates where it stores bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from vaebench import densities
from vaebench.kernels import reparam_kl
from vaebench.kernels.reparam_kl import reparameterise_kl
from vaebench.noise import Noise, normals, philox, uniform

KEYS = (3, 2**63 - 1, 2**62 + 2**32)
OP = torch.ops.vaebench

SHAPES = [  # K, S, B, D, all different; B is no multiple of the tile's rows
    (5, 2, 300, 1),
    (1, 3, 5, 2),
    (5, 2, 3, 7),
    (1, 3, 37, 20),
    (5, 2, 1, 20),
    (5, 2, 19, 64),
    (1, 3, 11, 100),
    (4, 2, 3, 1030),  # wider than a tile
]

ROUNDING = {torch.float32: 0.0, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-11}
"""Relative error of one store: bfloat16 is truncated by the interpreter, so a whole ulp."""

FP32 = 5e-6
"""Error relative to the size of the terms: normals are good to 1.5e-6 and up to 5.7 in size."""


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
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int, dz: Tensor, dkl: Tensor
) -> tuple[Tensor, ...]:
    """z, kl, dmu, dlog_var in float64."""
    mu, log_var = (x.detach().double().requires_grad_() for x in (mu, log_var))
    out = densities.reparameterise_kl(mu, log_var, noise, num_samples)
    return *out, *torch.autograd.grad(out, (mu, log_var), (dz.double(), dkl.double()))


def assert_close(name: str, got: Tensor, want: Tensor, terms: Tensor) -> None:
    """got is want up to rounding to its dtype and FP32 of the size of the terms it was made of."""
    smallest = torch.finfo(got.dtype).smallest_normal * torch.finfo(got.dtype).eps
    allowed = ROUNDING[got.dtype] * want.abs() + smallest + FP32 * terms
    excess = ((got.double() - want).abs() / allowed).max()
    assert excess <= 1.0, f"{name} is off by {excess:.3g} times the error allowed"


PAD, MARK = 4096, 12345.0


class Guarded:
    """Hands out tensors inside larger buffers, so that an access out of bounds shows.

    Inputs lie among NaN: a read outside turns a result into NaN. Outputs hold NaN and lie among
    marks: what is not written stays NaN, and what is written outside removes a mark.
    """

    def __init__(self) -> None:
        self.outputs: list[tuple[Tensor, Tensor]] = []

    def input(self, x: Tensor) -> Tensor:
        buffer = torch.full((x.numel() + 2 * PAD,), torch.nan)
        buffer[PAD:-PAD] = x.detach().flatten()
        return buffer[PAD:-PAD].view(x.shape)

    def output(self, *shape: int) -> Tensor:
        buffer = torch.full((torch.Size(shape).numel() + 2 * PAD,), MARK)
        inner = buffer[PAD:-PAD].fill_(torch.nan).view(shape)
        self.outputs.append((buffer, inner))
        return inner

    def check(self, what: object) -> None:
        for buffer, inner in self.outputs:
            if not ((buffer[:PAD] == MARK).all() and (buffer[-PAD:] == MARK).all()):
                # The other tests have no guards: they would corrupt memory, and crash.
                pytest.exit(f"{what}: wrote outside an output", returncode=1)
            assert not inner.isnan().any(), "read outside the inputs, or left unwritten"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_access_out_of_bounds(
    shape: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded()
    num_samples, S, B, D = shape
    monkeypatch.setattr(reparam_kl, "_like", lambda mu: guarded.output(*mu.shape))
    monkeypatch.setattr(
        reparam_kl,
        "_outputs",
        lambda mu, _: (guarded.output(S, num_samples, B, D), guarded.output(S, B)),
    )
    mu, log_var = (guarded.input(x) for x in inputs((S, B, D)))
    counters = list(KEYS[:S]), 1, 2, 3
    z, kl = OP.reparameterise_kl(mu, log_var, *counters, num_samples)
    dz, dkl = (guarded.input(x) for x in upstream(z, kl))
    OP.reparameterise_kl_backward(mu, log_var, dz, dkl, *counters)
    assert len(guarded.outputs) == 4
    guarded.check(shape)


CASES = [
    *((shape, torch.float32, (-30, 20)) for shape in SHAPES),
    *((shape, torch.bfloat16, (-30, 20)) for shape in SHAPES[2:6]),
    *((shape, torch.float16, (-30, 8)) for shape in SHAPES[2:6]),  # fp16 overflows at 65504
]


@pytest.mark.parametrize("shape, dtype, log_vars", CASES, ids=str)
def test_values_and_gradients(
    shape: tuple[int, ...], dtype: torch.dtype, log_vars: tuple[float, float]
) -> None:
    num_samples, num_runs = shape[:2]
    mu, log_var = inputs(shape[1:], dtype, log_vars)
    noise = noise_of(num_runs, step=5)
    z, kl = reparameterise_kl(mu, log_var, noise, num_samples)
    assert z.shape == shape and z.dtype == dtype
    assert kl.shape == shape[1:3] and kl.dtype == torch.float32
    dz, dkl = upstream(z, kl)
    got = z, kl, *torch.autograd.grad((z, kl), (mu, log_var), (dz, dkl))

    want = reference(mu, log_var, noise, num_samples, dz, dkl)
    size, std = mu.detach().double().abs(), log_var.detach().double().mul(0.5).exp()
    sum_dz, weight = dz.abs().double().sum(0), dkl.double().abs()[..., None]
    terms = (
        size + std,
        want[1],  # all that a KL sums is positive
        sum_dz + weight * size,
        sum_dz * std + weight * (1.0 + std.square()),
    )
    for name, *triple in zip(("z", "kl", "dmu", "dlog_var"), got, want, terms, strict=True):
        assert_close(name, *(x.detach() for x in triple))


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


FIRSTS = [
    {"step": 0},
    {"step": 2**31 + 5, "first_sample": 3, "first_row": 11},
    {"step": 2**32 - 1, "first_sample": 2**31 - 1, "first_row": 2**31 - 2},
    {"step": 2**31 - 1, "first_sample": 2**32 - 5, "first_row": 2**32 - 40},
]


def kernel_normals(noise: Noise, num_samples: int, num_rows: int, num_columns: int) -> Tensor:
    zeros = torch.zeros(len(noise.keys), num_rows, num_columns)
    return reparameterise_kl(zeros, zeros, noise, num_samples)[0]


def exact_normals(noise: Noise, num_samples: int, num_rows: int, num_columns: int) -> Tensor:
    """Box-Muller in float64 of Philox words, written out: [K, S, B, D], D a multiple of 4."""
    runs = range(len(noise.keys))
    axes = np.ix_(range(num_samples), runs, range(num_rows), range(num_columns // 4))
    sample, run, row, quad = (axis.astype(np.uint64) for axis in axes)
    step = np.full((1, 1, 1, 1), noise.step, dtype=np.uint64)
    key = np.array(noise.keys, dtype=np.uint64)[run.astype(np.int64)]
    counter = (quad, row + noise.first_row, sample + noise.first_sample, step)
    a, b, c, d = (torch.from_numpy(uniform(words)).double() for words in philox(key, counter))
    lanes = []
    for u, v in ((a, b), (c, d)):
        radius, angle = (-2.0 * u.clamp_min(1e-7).log()).sqrt(), 2.0 * torch.pi * v
        lanes += [radius * angle.cos(), radius * angle.sin()]
    return torch.stack(lanes, -1).flatten(-2)


@pytest.mark.parametrize("first", FIRSTS, ids=str)
def test_normals_are_those_of_noise(first: dict[str, int]) -> None:
    noise = noise_of(3, **first)
    got = kernel_normals(noise, 4, 37, 20)
    # float32 cosines of angles up to 2 pi leave noise.normals 1.7e-6 off
    torch.testing.assert_close(got, normals(noise, 4, 37, 20), rtol=0, atol=1.5e-6)
    torch.testing.assert_close(got.double(), exact_normals(noise, 4, 37, 20), rtol=0, atol=1e-6)


def test_normals_are_standard() -> None:
    eps = kernel_normals(noise_of(3), 4, 64, 64).double()
    assert abs(eps.mean()) < 4 / eps.numel() ** 0.5
    assert abs(eps.var() - 1.0) < 4 * (2 / eps.numel()) ** 0.5
    assert eps.abs().max() < 5.68


def test_noise_does_not_depend_on_the_batch() -> None:
    whole = kernel_normals(noise_of(3, step=9), 5, 40, 20)
    noise = noise_of(3).at(step=9, sample=2, row=33)
    assert torch.equal(kernel_normals(noise, 3, 7, 20), whole[2:, :, 33:])
    alone = kernel_normals(Noise(KEYS[1:2], step=9), 5, 40, 20)
    assert torch.equal(alone, whole[:, 1:2])
    assert torch.equal(kernel_normals(noise_of(3, step=9), 5, 40, 7), whole[..., :7])


def as_leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


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


@pytest.mark.parametrize("num_samples", [1, 3])
def test_opcheck(num_samples: int) -> None:
    mu, log_var = inputs((2, 5, 20))
    counters = list(KEYS[:2]), 1, 2, 3
    torch.library.opcheck(OP.reparameterise_kl, (mu, log_var, *counters, num_samples))
    out = OP.reparameterise_kl(mu.detach(), log_var.detach(), *counters, num_samples)
    arguments = mu.detach(), log_var.detach(), *upstream(*out), *counters
    torch.library.opcheck(OP.reparameterise_kl_backward, arguments)


def test_compiles_whole_and_once_for_all_steps() -> None:
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")

    def loss(h: Tensor, noise: Noise) -> Tensor:
        mu, log_var = h.chunk(2, -1)
        z, kl = reparameterise_kl(mu, log_var, noise, 3)
        return (z.square().sum((0, -1)) + kl).sum()

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
