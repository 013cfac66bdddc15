"""The CPU's own paths, in C and in PyTorch, against the reference in float64: values, gradients."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import pytest
import torch

from tests.support.operations import KEYS, LATENT, SHAPES, check, latent, parameters, pixels
from vaebench.ops import c, cpu, densities
from vaebench.ops.c import fused as cpu_native
from vaebench.ops.noise import Noise

needs_native = pytest.mark.skipif(bool(c.problem()), reason=c.problem())


@pytest.fixture(params=[cpu, pytest.param(cpu_native, marks=needs_native)], ids=["cpu", "native"])
def implementation(request: pytest.FixtureRequest) -> ModuleType:
    """Each module with paths of its own."""
    module: ModuleType = request.param
    return module


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", LATENT)
def test_latent_step(op: str, shape: tuple[int, ...], implementation: ModuleType) -> None:
    name, options = LATENT[op]
    noise = Noise(KEYS[: shape[1]], step=4)
    ways = [
        partial(getattr(module, name), noise=noise, num_samples=shape[0], **options)
        for module in (implementation, densities)
    ]
    check(*ways, latent(shape), size=30.0 if shape[0] == 50 else 10.0)


def test_kl_near_the_prior_keeps_its_digits(implementation: ModuleType) -> None:
    mu, log_var = (1e-3 * x for x in latent((1, 2, 5, 20)))
    _, kl = implementation.reparameterise_kl(mu, log_var, Noise(KEYS))
    want = densities.gaussian_kl(mu.double(), log_var.double())
    torch.testing.assert_close(kl.double(), want, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("narrow", [None, (), (1,), (5, 1), (2, 1, 1)], ids=str)
def test_gaussian(
    shape: tuple[int, ...], narrow: tuple[int, ...] | None, implementation: ModuleType
) -> None:
    mu, log_var = parameters(shape, 1.0, -2, 2)
    if narrow is not None:
        narrow = {(): (1,), (5, 1): (shape[2], 1), (2, 1, 1): (shape[1], 1, 1)}.get(narrow, narrow)
        log_var = torch.randn(narrow)
    x = pixels(shape)
    ways = [
        lambda mu, lv, f=module.gaussian_log_prob: f(x.to(mu.dtype), mu, lv)
        for module in (implementation, densities)
    ]
    check(*ways, [mu, log_var], size=20.0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
def test_continuous_bernoulli(shape: tuple[int, ...], spread: float) -> None:
    logits, _ = parameters(shape, spread, 0, 1)
    logits.view(-1)[::3] = 0.0
    x = pixels(shape)
    ways = [
        lambda logits, f=module.continuous_bernoulli_log_prob: f(x.to(logits.dtype), logits)
        for module in (cpu, densities)
    ]
    check(*ways, [logits], size=4.0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scales", [(-2, 3), (-7.7, -2), (3, 20)], ids=str)
def test_discretised_logistic(shape: tuple[int, ...], scales: tuple[float, float]) -> None:
    x = pixels(shape).double()
    loc, log_scale = parameters(shape, 0.3, *scales)
    ways = [
        lambda *p, f=module.discretised_logistic_log_prob: f(x.to(p[0].dtype), *p)
        for module in (cpu, densities)
    ]
    check(*ways, [loc, log_scale], size=400.0 if scales[0] < -7 else 10.0)


def test_backward_leaves_what_it_kept_as_it_was(implementation: ModuleType) -> None:
    """A second backward pass through one graph gives the same again."""
    shape = (3, 2, 5, 7)
    mu, log_var = (x.requires_grad_() for x in latent(shape))
    a, b = (x.requires_grad_() for x in parameters(shape, 1.0, -2, 2))
    x = pixels(shape)
    cases = {
        "reparameterise_kl": ((mu, log_var, Noise(KEYS), 3), (mu, log_var)),
        "reparameterise_log_probs": ((mu, log_var, Noise(KEYS), 3), (mu, log_var)),
        "bernoulli_log_prob": ((x.round(), a), (a,)),
        "gaussian_log_prob": ((x, a, b), (a, b)),
        "continuous_bernoulli_log_prob": ((x, a), (a,)),
        "discretised_logistic_log_prob": ((x, a, b), (a, b)),
        "importance_weights": ((a[..., 0],), (a,)),
    }
    for op, (inputs, leaves) in cases.items():
        if op not in implementation.__all__:
            continue
        out = getattr(implementation, op)(*inputs)
        loss = sum(y.square().sum() for y in (out if isinstance(out, tuple) else (out,)))
        first, again = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
        assert all(torch.equal(p, q) for p, q in zip(first, again, strict=True)), op


def test_kept_noise_is_not_written_to(implementation: ModuleType) -> None:
    mu, log_var = latent((1, 2, 5, 7))
    first, again = (
        implementation.reparameterise_kl(mu, log_var, Noise(KEYS, step=2))[0] for _ in range(2)
    )
    assert torch.equal(first, again)
