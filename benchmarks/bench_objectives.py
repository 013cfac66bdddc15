"""Forward and backward pass of every registered objective, on one stack of the default study."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from vaebench.config import parse
from vaebench.config.build import build_stack, streams
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES

S, B, P = 5, 64, 64
CASES = [
    (name, num_samples)
    for num_samples in (1, 6)
    for name, entry in OBJECTIVES.items()
    if num_samples >= entry.min_samples
]
"""6 samples are a whole number of groups, for the objectives that take them in 2 or 3."""


def _written_out(name: str) -> dict[str, Any]:
    """The objective with a value for what has no default: the middle of its search range."""
    needed = {n: h for n, h in OBJECTIVES[name].hyper.items() if h.default is None}
    return {"name": name} | {n: sum(h.search or (1.0, 1.0)) / 2 for n, h in needed.items()}


@pytest.mark.parametrize(("name", "num_samples"), CASES)
def bench_objective(benchmark: BenchmarkFixture, name: str, num_samples: int) -> None:
    torch.set_num_threads(1)
    raw = {"objective": _written_out(name), "likelihood": "bernoulli", "num_samples": num_samples}
    configs = [parse({**raw, "seed": i}) for i in range(S)]
    model, noise = build_stack(configs, (P,)), streams(configs, "bench")
    x = (torch.rand((S, B, P), generator=torch.Generator().manual_seed(0)) < 0.3).float()
    objective, steps = OBJECTIVES[name], iter(range(1_000_000))
    scalars = configs[0].objective.hyper | objective.initial_state
    counts = {name: scalars[name] for name in objective.counts}
    scalars |= {
        name: int(value) for name, value in counts.items() if isinstance(value, int | float)
    }

    def step() -> None:
        terms = compute_terms(
            model, x, noise.at(step=next(steps)), num_samples=num_samples, training=True
        )
        loss = objective.loss(terms, **scalars).sum()
        if objective.auxiliary:
            loss = loss + objective.auxiliary.loss(terms).sum()
        torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    benchmark.group = f"objectives, K={num_samples}"
    benchmark.extra_info.update(S=S, B=B, P=P)
    benchmark.pedantic(step, rounds=60, warmup_rounds=5)
