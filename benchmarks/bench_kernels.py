"""Forward and backward passes of the operations of `ops`, as a user calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from vaebench.core.timing import threads
from vaebench.ops.check.cases import OPERATIONS, Case, make_inputs
from vaebench.ops.check.correctness import dispatched, gradients, upstream_of

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZES = [(128, 20), (512, 64), (4096, 128), (65536, 256)]  # rows, columns
PIXELS = [(128, 784), (1024, 784)]
LATENT = [op for op in OPERATIONS if OPERATIONS[op].draws]
LIKELIHOODS = [op for op in OPERATIONS if "log_prob" in op and op not in LATENT]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on busy cores would hold each other up for milliseconds."""
    with threads(1):
        yield


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


def measure(benchmark: BenchmarkFixture, case: Case) -> None:
    """Rounds of one forward and one backward pass, each with the noise of another step."""
    inputs, backend = make_inputs(case), dispatched(case)
    upstream = upstream_of(case, backend.op(inputs, case.noise(), case.num_samples))
    steps = iter(range(1_000_000))

    def step() -> None:
        out = backend.op(inputs, case.noise(step=next(steps)), case.num_samples)
        gradients(case, inputs, out, upstream)

    benchmark.group = f"{case.op} {case.size}"
    count = rounds(case.num_elements)
    benchmark.pedantic(finished(case.device.type, step), rounds=count, warmup_rounds=1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_rows, num_columns", SIZES)
@pytest.mark.parametrize("op", LATENT)
def bench_latent_step(
    benchmark: BenchmarkFixture, device: str, num_rows: int, num_columns: int, op: str
) -> None:
    where = torch.device(device)
    measure(benchmark, Case(op, 1, 1, num_rows, num_columns, torch.float32, where))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_rows, num_pixels", PIXELS)
@pytest.mark.parametrize("op", LIKELIHOODS)
def bench_log_prob(
    benchmark: BenchmarkFixture, device: str, num_rows: int, num_pixels: int, op: str
) -> None:
    where = torch.device(device)
    measure(benchmark, Case(op, 1, 1, num_rows, num_pixels, torch.float32, where))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_rows", [128, 4096])
def bench_importance_weights(benchmark: BenchmarkFixture, device: str, num_rows: int) -> None:
    where = torch.device(device)
    measure(benchmark, Case("importance_weights", 50, 1, num_rows, 1, torch.float32, where))
