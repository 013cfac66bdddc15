"""How near the evaluation comes to its matrix products: `nox -s evaluation` calls this.

Bounds of K = 5000 samples by a 784-400-20 model as it starts, of images of noise, which cost what
any others do. In turns with the decoder's bare products, without biases: with as many rows as the
evaluation's chunks have, and with as many as are fastest. Time is that of the process on one
thread, and that of the clock on more.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from vaebench.config import parse
from vaebench.config.build import build_stack, streams
from vaebench.core.memory import PeakBytes
from vaebench.evaluation import bounds
from vaebench.models import VAE, StackedLinear
from vaebench.ops.noise import Noise, uniforms
from vaebench.running.environment import describe

NUM_SAMPLES, IMAGE_SHAPE, NUM_PIXELS = 5000, (28, 28), 784
WHOLE = 10_000 * NUM_SAMPLES
"""Decoder evaluations of a test set of 10,000 images."""
LIKELIHOODS = {"bernoulli": "bernoulli", "gaussian": {"name": "gaussian", "sigma": 0.3}}
ROWS = (128, 256, 512, 1024, 2048, 4096)
"""Numbers of rows of the bare products, among which the fastest is taken."""
PRODUCT_FLOP = 2e10
"""Floating-point operations of one turn of products: a fifth of a second."""


@dataclass
class Case:
    """One model with its images, and what was measured of it: a number for each round."""

    name: str
    model: VAE
    noise: Noise
    x: Tensor  # [N, P]
    chunk_rows: int = 0
    evaluations_per_s: list[float] = field(default_factory=list)
    products_per_s: dict[int, list[float]] = field(default_factory=dict)
    """By rows: evaluations that the bare products would do."""

    @property
    def flop(self) -> int:
        """Floating-point operations of the products of one decoder evaluation."""
        return sum(2 * layer.weight[0].numel() for layer in layers(self.model))


def layers(model: VAE) -> list[StackedLinear]:
    return [m for m in model.decoder.modules() if isinstance(m, StackedLinear)]


def make_case(name: str, num_runs: int, num_images: int) -> Case:
    raw = {"objective": "elbo", "likelihood": LIKELIHOODS[name]}
    sizes = {"model": {"latent_dim": 20, "widths": [400]}}
    configs = [parse({**raw, **sizes, "seed": seed}) for seed in range(num_runs)]
    x = (uniforms(Noise((7,)), num_images, NUM_PIXELS)[0] < 0.2).float()
    case = Case(name, build_stack(configs, IMAGE_SHAPE), streams(configs, "evaluate"), x)
    case.chunk_rows = rows_of_chunks(case)
    return case


def rows_of_chunks(case: Case) -> int:
    """Rows that the decoder's layers are given at once by the evaluation."""
    seen: list[int] = []
    hook = layers(case.model)[0].register_forward_hook(
        lambda layer, inputs, out: seen.append(out.shape[1])
    )
    evaluate(case, case.x[:8], NUM_SAMPLES)
    hook.remove()
    return max(seen)


def evaluate(case: Case, x: Tensor, num_samples: int) -> int:
    """Returns the number of decoder evaluations."""
    bounds(case.model, x, case.noise, num_samples=num_samples)
    return case.model.num_runs * len(x) * num_samples


@torch.no_grad()
def products(case: Case, num_rows: int) -> Callable[[], int]:
    """Work that does the decoder's products with that many rows, over and over."""
    weights = [layer.weight[0].detach().clone() for layer in layers(case.model)]
    operands = [
        (torch.randn(num_rows, len(w)), w, torch.empty(num_rows, w.shape[1])) for w in weights
    ]
    repeats = max(1, round(PRODUCT_FLOP / (num_rows * case.flop)))

    def work() -> int:
        for _ in range(repeats):
            for left, right, out in operands:
                torch.mm(left, right, out=out)
        return repeats * num_rows

    return work


def rate(work: Callable[[], int], clock: Callable[[], float]) -> float:
    """Evaluations per second."""
    start = clock()
    count = work()
    return count / (clock() - start)


@torch.no_grad()
def measure(cases: Sequence[Case], num_rounds: int, clock: Callable[[], float]) -> None:
    """Every case in turn, its evaluation among its products."""
    works = [{rows: products(case, rows) for rows in {case.chunk_rows, *ROWS}} for case in cases]
    for part in range(num_rounds):
        for case, by_rows in zip(cases, works, strict=True):
            images = case.x.tensor_split(num_rounds)[part]
            before = rate(by_rows[case.chunk_rows], clock)
            evaluations = rate(partial(evaluate, case, images, NUM_SAMPLES), clock)
            of_products = {rows: rate(work, clock) for rows, work in by_rows.items()}
            of_products[case.chunk_rows] = 0.5 * (before + of_products[case.chunk_rows])
            case.evaluations_per_s.append(evaluations)
            for rows, value in of_products.items():
                case.products_per_s.setdefault(rows, []).append(value)


def peak_bytes(case: Case) -> int:
    """The most bytes held by tensors that an evaluation makes, the weights apart."""
    with PeakBytes() as memory:
        evaluate(case, case.x[:8], NUM_SAMPLES)
    return memory.peak


def row_of(case: Case, num_threads: int) -> dict[str, str | float]:
    rates = pd.Series(case.evaluations_per_s)
    by_rows = pd.DataFrame(case.products_per_s)
    best = max(case.products_per_s, key=lambda rows: statistics.median(case.products_per_s[rows]))
    of_chunk, of_best = rates / by_rows[case.chunk_rows], rates / by_rows[best]
    return {
        "likelihood": case.name,
        "runs": case.model.num_runs,
        "threads": num_threads,
        "evaluations_per_s": rates.median(),
        "gflop_per_s": 1e-9 * case.flop * rates.median(),
        "of_products": float(of_chunk.median()),
        "of_products_q20": float(of_chunk.quantile(0.2)),
        "of_products_q80": float(of_chunk.quantile(0.8)),
        "of_fastest_products": float(of_best.median()),
        "products_gflop_per_s": 1e-9 * case.flop * by_rows[case.chunk_rows].median(),
        "fastest_products_gflop_per_s": 1e-9 * case.flop * by_rows[best].median(),
        "chunk_rows": case.chunk_rows,
        "fastest_rows": best,
        "peak_mib": peak_bytes(case) / 2**20,
        "process_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "whole_minutes_per_run": WHOLE / rates.median() / 60,
        "rounds": len(rates),
        "images": len(case.x),
        "samples": NUM_SAMPLES,
        **describe("cpu"),
    }


def shown(row: dict[str, str | float]) -> Iterator[str]:
    """The figures of a row, for a screen."""
    for name, value in itertools.islice(row.items(), 16):
        yield f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/runs/evaluation"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    stacks = itertools.product(LIKELIHOODS, (1, 4))
    cases = [make_case(name, num_runs, arguments.images) for name, num_runs in stacks]
    measure(cases, arguments.rounds, clock)
    rows = [row_of(case, arguments.threads) for case in cases]
    arguments.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(arguments.out / f"rate_{arguments.threads}.csv", index=False)
    for row in rows:
        print(*shown(row), sep="  ")


if __name__ == "__main__":
    main()
