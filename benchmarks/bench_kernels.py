"""Forward and backward passes of the fused operation and of the log-densities of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from vaebench import densities, kernels
from vaebench.noise import Noise, key

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZES = [(128, 20), (512, 64), (4096, 128), (65536, 256)]  # rows, columns
PIXELS = 784


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on busy cores would hold each other up for milliseconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rounds(num_elements: int) -> int:
    """Few enough that the largest case takes seconds."""
    return max(3, min(200, 40_000_000 // num_elements))


def finished(device: str, call: Callable[[], object]) -> Callable[[], None]:
    """The call, over only when the device is."""

    def run() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def draw(device: str, *shape: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(shape).to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_rows, num_columns", SIZES)
def bench_reparameterise_kl(
    benchmark: BenchmarkFixture, device: str, num_rows: int, num_columns: int
) -> None:
    mu, log_var = draw(device, 1, num_rows, 2 * num_columns).chunk(2, -1)
    leaves = mu.requires_grad_(), log_var.requires_grad_()
    dz, dkl = draw(device, 1, 1, num_rows, num_columns), draw(device, 1, num_rows)
    steps = iter(range(1_000_000))

    def step() -> None:
        noise = Noise((key("bench"),), step=next(steps))
        out = kernels.reparameterise_kl(*leaves, noise)
        torch.autograd.grad(out, leaves, (dz, dkl))

    benchmark.group = f"reparameterise_kl {num_rows}x{num_columns}"
    count = rounds(num_rows * num_columns)
    benchmark.pedantic(finished(device, step), rounds=count, warmup_rounds=1)


LOG_DENSITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bernoulli": densities.bernoulli_log_prob,
    "gaussian": lambda x, mu: densities.gaussian_log_prob(x, mu, x.new_zeros(1)),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_rows", [128, 1024])
@pytest.mark.parametrize("density", LOG_DENSITIES)
def bench_log_prob(benchmark: BenchmarkFixture, device: str, num_rows: int, density: str) -> None:
    x = (draw(device, 1, num_rows, PIXELS) > 0.0).float()
    parameters = draw(device, 1, 1, num_rows, PIXELS).requires_grad_()
    upstream = draw(device, 1, 1, num_rows)

    def step() -> None:
        torch.autograd.grad(LOG_DENSITIES[density](x, parameters), parameters, upstream)

    benchmark.group = f"log-density of {num_rows}x{PIXELS}"
    count = rounds(num_rows * PIXELS)
    benchmark.pedantic(finished(device, step), rounds=count, warmup_rounds=1)
