"""What C code does beyond what every path of a CPU does: addresses, layouts, NaN, the same bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.operations import FP32, KEYS, LATENT, SHAPES, check, latent, parameters, pixels
from vaebench.core.errors import InputError
from vaebench.ops import c, cpu, densities
from vaebench.ops.c import build
from vaebench.ops.c import fused as cpu_native
from vaebench.ops.c.noise import place
from vaebench.ops.noise import Noise

pytestmark = pytest.mark.skipif(bool(c.problem()), reason=c.problem())

NAN, INF = float("nan"), float("inf")
BAND = 64

Results = tuple[Tensor, ...]


def with_gradients(op: Callable[..., Any], leaves: list[Tensor]) -> Results:
    """Results, and their gradients for upstream ones drawn with a fixed seed."""
    inputs = [x.detach().requires_grad_() for x in leaves]
    out = op(*inputs)
    out = out if isinstance(out, tuple) else (out,)
    torch.manual_seed(9)
    reached = [x for x in out if x.requires_grad]
    upstream = [torch.randn(x.shape) for x in reached]
    return *(x.detach() for x in out), *torch.autograd.grad(reached, inputs, upstream)


def assert_same(got: Results, want: Results, *, nan: bool = False) -> None:
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) if nan else torch.equal(a, b)


def latent_step(op: str, runs: slice = slice(None), num_samples: int = 3) -> Callable[..., Any]:
    name, options = LATENT[op]
    noise = Noise(KEYS[runs], step=4, first_sample=1, first_row=2)
    return lambda mu, lv: getattr(cpu_native, name)(mu, lv, noise, num_samples, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
def test_bernoulli(shape: tuple[int, ...], spread: float) -> None:
    logits, _ = parameters(shape, spread, 0, 1)
    logits.view(-1)[::3] = 0.0
    x = pixels(shape).round()
    ways = [
        lambda logits, f=module.bernoulli_log_prob: f(x.to(logits.dtype), logits)
        for module in (cpu_native, densities)
    ]
    check(*ways, [logits], size=4.0)


@pytest.mark.parametrize("shape", [(1, 2, 5), (3, 2, 70), (50, 1, 129), (300, 2, 3)], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1.0, 100.0])
def test_importance_weights(shape: tuple[int, ...], spread: float) -> None:
    torch.manual_seed(5)
    log_w = (spread * torch.randn(shape) - 500.0).requires_grad_()
    got = cpu_native.importance_weights(log_w)
    exact = log_w.detach().double().requires_grad_()
    want = densities.importance_weights(exact)
    upstream = torch.randn(shape[1:])
    gradients = [
        torch.autograd.grad(out[0], leaf, upstream.to(leaf.dtype))[0]
        for out, leaf in ((got, log_w), (want, exact))
    ]
    assert got[0].requires_grad and not got[1].requires_grad and not got[2].requires_grad
    # float32 keeps log_w to 3e-5 where it is 500 or more: so much of each weight
    for a, b in zip((*got, gradients[0]), (*want, gradients[1]), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-7)


def test_samples_of_no_weight() -> None:
    """log 0 is -inf: some samples, or all of them."""
    log_w = torch.randn(5, 1, 4)
    log_w[0, 0, 0] = log_w[:-1, 0, 1] = log_w[:, 0, 2] = -INF
    log_w[2, 0, 3] = NAN
    got, want = (m.importance_weights(log_w) for m in (cpu_native, densities))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)
    assert got[0][0, 2] == -INF and got[2][0, 1] == 1.0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", LATENT)
def test_log_variances_from_minus_30_to_20(op: str, shape: tuple[int, ...]) -> None:
    """Relative to the largest value of each result: in float64 with the same normals."""
    mu, log_var = latent(shape)
    log_var = torch.linspace(-30, 20, log_var.numel()).view(log_var.shape)
    runs = slice(0, shape[1])
    got = with_gradients(latent_step(op, runs, shape[0]), [mu, log_var])
    name, options = LATENT[op]
    noise = Noise(KEYS[runs], step=4, first_sample=1, first_row=2)
    want = with_gradients(
        lambda mu, lv: getattr(densities, name)(mu, lv, noise, shape[0], **options),
        [mu.double(), log_var.double()],
    )
    for a, b in zip(got, want, strict=True):
        assert ((a - b).abs().amax() <= 10 * FP32 * (1.0 + b.abs().amax())).all()


@pytest.mark.parametrize("op", LATENT)
@pytest.mark.parametrize("num_columns", [1, 7, 20, 257])
def test_a_run_in_a_stack_is_the_run_alone(op: str, num_columns: int) -> None:
    leaves = latent((3, 2, 5, num_columns))
    whole = latent_step(op)(*leaves)
    alone = latent_step(op, slice(1, 2))(*(x[1:] for x in leaves))
    for a, b in zip(alone, whole, strict=True):
        axis = 0 if b.shape[0] == 2 else 1  # of the runs
        assert torch.equal(a, b.narrow(axis, 1, 1))


@pytest.mark.parametrize("op", LATENT)
@pytest.mark.parametrize("sizes", [(700, 8), (1, 5000), (3, 4096), (4100, 1)], ids=str)
def test_more_numbers_than_are_made_at_once(op: str, sizes: tuple[int, int]) -> None:
    """Rows by the hundred, or wide ones: each sample has the bits that it has alone."""
    name, options = LATENT[op]
    mu, log_var = latent((1, 2, *sizes))
    noise = Noise(KEYS[:2], step=4)
    forward = partial(getattr(cpu_native, name), mu, log_var, **options)
    z = forward(noise, 3)[0]
    for k in range(3):
        assert torch.equal(z[k : k + 1], forward(noise.at(sample=k), 1)[0])
    want = getattr(densities, name)(mu, log_var, noise, 3, **options)
    for value, reference in zip(forward(noise, 3), want, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("op", LATENT)
def test_rows_read_apart_are_the_rows_of_the_whole(op: str) -> None:
    """With their gradients."""
    leaves = latent((3, 2, 11, 20))
    name, options = LATENT[op]
    noise = Noise(KEYS, step=4)
    function = getattr(cpu_native, name)
    results = []
    for first in (0, 4):
        parts = [x[:, first:].detach().requires_grad_() for x in leaves]
        out = function(*parts, noise.at(row=first), 3, **options)
        total = sum(x.square().sum() for x in out)
        rows = [x.narrow(_rows_axis(x), 4 - first, 7) for x in out]
        gradients = torch.autograd.grad(total, parts)
        results.append((*rows, *(g[:, 4 - first :] for g in gradients)))
    assert_same(*results)


def _rows_axis(x: Tensor) -> int:
    """[(K), S, B, D] or [(K), S, B]: that of B, the only one with more than six rows here."""
    return next(axis for axis, size in enumerate(x.shape) if size in (7, 11))


def arrangements(x: Tensor) -> dict[str, Tensor]:
    """The same numbers, laid out in other ways."""
    spaced = torch.zeros(*x.shape[:-1], 2 * x.shape[-1])
    spaced[..., ::2] = x
    return {
        "half of a chunk": torch.cat([x, x], -1).chunk(2, -1)[1],
        "transposed": x.mT.contiguous().mT,
        "every second": spaced[..., ::2],
        "runs last": x.movedim(0, -1).contiguous().movedim(-1, 0),
        "one number off": torch.cat([torch.zeros(1), x.flatten()])[1:].view(x.shape),
    }


LAYOUTS = list(arrangements(torch.zeros(2, 3, 4)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", LATENT)
def test_layout_of_the_latent_step_does_not_matter(op: str, layout: str) -> None:
    leaves = latent((3, 2, 5, 20))
    arranged = [arrangements(x)[layout] for x in leaves]
    assert_same(*(with_gradients(latent_step(op), inputs) for inputs in (arranged, leaves)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", ["bernoulli_log_prob", "gaussian_log_prob"])
def test_layout_of_pixels_and_parameters_does_not_matter(op: str, layout: str) -> None:
    shape = (3, 2, 5, 20)
    x, leaves = pixels(shape), parameters(shape, 1.0, -2, 2)[: 2 if op.startswith("gauss") else 1]
    function = getattr(cpu_native, op)
    dense = with_gradients(lambda *p: function(x, *p), leaves)
    other_x = arrangements(x)[layout]
    arranged = [arrangements(p)[layout] for p in leaves]
    assert_same(with_gradients(lambda *p: function(other_x, *p), arranged), dense)
    per_sample = x.expand(shape).contiguous()
    assert_same(with_gradients(lambda *p: function(per_sample, *p), leaves), dense)


def test_expanded_inputs_and_gradients() -> None:
    mu, log_var = torch.randn(1, 5, 1), torch.randn(1, 1, 20)
    wide = mu.expand(2, 5, 20), log_var.expand(2, 5, 20)
    results = []
    for inputs in (wide, [x.contiguous() for x in wide]):
        leaves = [x.detach().requires_grad_() for x in inputs]
        z, kl = latent_step("kl")(*leaves)
        results.append((z, kl, *torch.autograd.grad(z.sum() + kl.sum(), leaves)))
    assert_same(*results)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pixels_and_scales_of_16_bits(dtype: torch.dtype) -> None:
    shape = (3, 2, 5, 7)
    x, (mu, log_var) = pixels(shape).to(dtype), parameters(shape, 1.0, -2, 2)
    mu, log_var = mu.requires_grad_(), log_var.to(dtype).requires_grad_()
    out = cpu_native.gaussian_log_prob(x, mu, log_var)
    want = densities.gaussian_log_prob(x.float(), mu, log_var.float())
    torch.testing.assert_close(out, want)
    assert [g.dtype for g in torch.autograd.grad(out.sum(), (mu, log_var))] == [mu.dtype, dtype]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("op", ["bernoulli_log_prob", "gaussian_log_prob", *LATENT])
def test_what_is_not_finite_stays_so(op: str, value: float) -> None:
    """Where PyTorch has NaN or infinity C has it too, and nowhere else.

    For the latent step PyTorch's is the version by hand: there too log q is written by eps, and
    does not see mu.
    """
    shape = (3, 2, 5, 20)
    x = pixels(shape).round()
    if op in LATENT:
        name, options = LATENT[op]
        leaves, modules = latent(shape), (cpu_native, cpu)
        more = {"noise": Noise(KEYS), "num_samples": 3, **options}
        ways = [partial(getattr(module, name), **more) for module in modules]
    else:
        leaves = parameters(shape, 1.0, -2, 2)[: 2 if op.startswith("gauss") else 1]
        ways = [partial(getattr(module, op), x) for module in (cpu_native, densities)]
    for position, leaf in enumerate(leaves):
        for column in (3, 19):  # in whole vectors, and in what is left of a row
            spoilt = [x.clone() for x in leaves]
            spoilt[position][(0,) * (leaf.ndim - 1)][column] = value
            got, want = (way(*spoilt) for way in ways)
            pairs = zip(got, want, strict=True) if isinstance(got, tuple) else [(got, want)]
            for a, b in pairs:
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("op", LATENT)
def test_without_gradients_no_step_is_kept_and_z_is_the_same(op: str) -> None:
    leaves = latent((3, 2, 5, 20))
    want = latent_step(op)(*(x.requires_grad_() for x in leaves))
    with torch.no_grad():
        got = latent_step(op)(*(x.detach() for x in leaves))
    assert_same(got, tuple(x.detach() for x in want))


def test_vectors_do_not_show_in_the_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same sources, compiled to one number at a time."""
    leaves, shape = latent((3, 2, 5, 39)), (3, 2, 5, 39)
    x, (a, b), log_w = pixels(shape), parameters(shape, 1.0, -2, 2), torch.randn(5, 2, 70)

    def results() -> list[Results]:
        return [
            *(with_gradients(latent_step(op), leaves) for op in LATENT),
            with_gradients(partial(cpu_native.bernoulli_log_prob, x), [a]),
            with_gradients(partial(cpu_native.gaussian_log_prob, x), [a, b]),
            with_gradients(partial(cpu_native.gaussian_log_prob, x), [a, b[..., :1]]),
            with_gradients(cpu_native.importance_weights, [log_w]),
        ]

    want = results()
    scalar = ["-O1" if flag == "-O3" else flag for flag in build.FLAGS if "simd" not in flag]
    monkeypatch.setattr(build, "FLAGS", scalar)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    loaded = c._loaded.__wrapped__()
    monkeypatch.setattr(c, "_loaded", lambda: loaded)
    monkeypatch.setattr(c, "functions", c.functions.__wrapped__)
    assert c.functions() is not None and list(tmp_path.rglob("*.so"))
    for got, wanted in zip(results(), want, strict=True):
        assert_same(got, wanted)


def test_the_edges_of_a_tensor_are_not_crossed() -> None:
    """Buffers lie between bands whose numbers must survive."""
    shape = (2, 2, 3, 7)
    room = torch.full((2 * BAND + 84,), 7.0)
    z = room[BAND:-BAND].view(shape)
    c.functions().vaebench_normals(1, *place(KEYS, (0, 0, 0), shape), z.data_ptr())
    assert (room[:BAND] == 7.0).all() and (room[-BAND:] == 7.0).all()
    assert not (z == 7.0).any()


def test_rows_of_no_width_and_no_rows() -> None:
    for shape in ((1, 2, 5, 0), (1, 2, 0, 4)):
        z, kl = cpu_native.reparameterise_kl(*latent(shape), Noise(KEYS))
        assert z.shape == shape and not kl.any()
        logits = torch.zeros(shape)
        assert not cpu_native.bernoulli_log_prob(logits[0], logits).any()


@pytest.mark.parametrize("op", LATENT)
def test_the_fallback_gives_the_same_numbers(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With numpy's normals, which differ in the last digits, and gradients in PyTorch."""
    leaves = latent((3, 2, 5, 20))
    name, options = LATENT[op]
    native_results = with_gradients(latent_step(op), leaves)
    monkeypatch.setattr(c, "_loaded", lambda: (None, "for comparison"))
    noise = Noise(KEYS, step=4, first_sample=1, first_row=2)
    fallback = with_gradients(lambda *p: getattr(cpu, name)(*p, noise, 3, **options), leaves)
    for a, b in zip(native_results, fallback, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("op", ["bernoulli_log_prob", "reparameterise_kl", "importance_weights"])
def test_a_second_derivative_is_refused(op: str) -> None:
    """Its rule is not written: a gradient penalty must not be trained with another number."""
    a = torch.randn(2, 3, 4, requires_grad=True)
    arguments = {
        "bernoulli_log_prob": (torch.ones(3, 4), a),
        "reparameterise_kl": (a, a, Noise((1, 2))),
        "importance_weights": (a,),
    }[op]
    computed = getattr(cpu_native, op)(*arguments)
    first = computed if isinstance(computed, torch.Tensor) else computed[-1 if "kl" in op else 0]
    with pytest.raises(InputError, match="differentiated once"):
        torch.autograd.grad(first.sum(), a, create_graph=True)
