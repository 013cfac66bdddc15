"""Milliseconds of a network's forward and backward pass, for each run of a stack, by two ways.

All runs at once by torch.vmap, and one after another; which of them the suite takes is a rule of
sizes, LEAST_AT_ONCE and MOST_AT_ONCE of models/networks/side_by_side.py, whose table this makes.
One thread; ways by turns, medians over rounds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.networks.cost import CASES, Case, config_of, register_networks
from vaebench.config.build import build_stack
from vaebench.models.networks import side_by_side
from vaebench.models.networks.side_by_side import StackedNetwork
from vaebench.ops.noise import Noise

NAMES = (
    "own module 64-128-8",
    "own module 64-128-8, batch normalisation",
    "own convolutions 8x8",
    "own module 784-400-20",
    "own convolutions 28x28",
)


def pass_of(case: Case, num_runs: int, at_once: bool) -> Callable[[], None]:
    """Forward and backward through encoder and decoder of a stack, by a way."""
    model = build_stack([config_of(case, seed) for seed in range(num_runs)], case.size.image_shape)
    networks = model.encoder, model.decoder
    for network in networks:
        assert isinstance(network, StackedNetwork)
        network.at_once = at_once
    x = torch.rand(num_runs, case.size.batch, model.family.sizes(case.size.image_shape).pixels)
    z = torch.randn(num_runs, case.size.batch, case.size.latent, requires_grad=True)
    parameters = [*model.encoder.parameters(), *model.decoder.parameters()]
    step = Noise(tuple(range(num_runs)))

    def take() -> None:
        out = networks[0](x, step).sum() + networks[1](z, step).square().sum()
        torch.autograd.grad(out, parameters)

    return take


def measured(case: Case, num_runs: int, seconds: float, num_rounds: int) -> list[float]:
    """At once and one after another: milliseconds for each run."""
    ways = [pass_of(case, num_runs, at_once) for at_once in (True, False)]
    rounds = [[milliseconds(way, seconds) / num_runs for way in ways] for _ in range(num_rounds)]
    return [statistics.median(times) for times in zip(*rounds[1:], strict=True)]


def milliseconds(take: Callable[[], object], seconds: float) -> float:
    """For one call, over about so many seconds."""
    start, number = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        take()
        number += 1
    return 1e3 * spent / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[2, 4, 16])
    parser.add_argument("--seconds", type=float, default=0.1, help="Of each way in a round.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    register_networks()
    side_by_side.LEAST_AT_ONCE, side_by_side.MOST_AT_ONCE = 1, 1 << 40
    print(f"{'network':42}{'numbers':>9}{'S':>4}{'at once':>10}{'in turn':>10}")
    for name, num_runs in itertools.product(NAMES, arguments.runs):
        case = CASES[name]
        model = build_stack([config_of(case, 0)], case.size.image_shape)
        numbers = case.size.batch * model.numbers_per_row
        times = measured(case, num_runs, arguments.seconds, 6)
        shown = "".join(f"{t:10.3g}" for t in times)
        print(f"{name:42}{numbers:9}{num_runs:4}{shown}", flush=True)


if __name__ == "__main__":
    main()
