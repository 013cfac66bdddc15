"""Forward and backward pass of every registered objective, on one stack of the default study."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from vaebench.config import parse
from vaebench.objectives import OBJECTIVES
from vaebench.terms import compute_terms
from vaebench.train import build_stack, streams

S, B, P = 5, 64, 64


@pytest.mark.parametrize("num_samples", [1, 5])
@pytest.mark.parametrize("name", OBJECTIVES)
def bench_objective(benchmark: BenchmarkFixture, name: str, num_samples: int) -> None:
    torch.set_num_threads(1)
    configs = [parse({"objective": name, "likelihood": "bernoulli", "seed": i}) for i in range(S)]
    model, noise = build_stack(configs, P), streams(configs, "bench")
    x = (torch.rand((S, B, P), generator=torch.Generator().manual_seed(0)) < 0.3).float()
    objective, steps = OBJECTIVES[name], iter(range(1_000_000))

    def step() -> None:
        terms = compute_terms(model, x, noise.at(step=next(steps)), num_samples=num_samples)
        loss = objective.loss(terms, **configs[0].objective.hyper)
        torch.autograd.grad(loss.sum(), list(model.parameters()), allow_unused=True)

    benchmark.group = f"objectives, K={num_samples}"
    benchmark.extra_info.update(S=S, B=B, P=P)
    benchmark.pedantic(step, rounds=60, warmup_rounds=5)
