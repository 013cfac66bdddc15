"""Where the time of a lone module goes: microseconds of its encoder, forward and backward.

The module itself; as the suite calls it, with views of the stack's parameters in its places; and so
with the tensors of the run alone, which is no way of the suite's but what one could save. One
thread; by turns, medians over rounds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch

from benchmarks.networks.cost import CASES, Case, config_of, register_networks
from benchmarks.networks.ways import milliseconds
from vaebench.config.build import build_stack
from vaebench.models.networks.side_by_side import StackedNetwork
from vaebench.ops.noise import Noise


def passes(case: Case) -> dict[str, Callable[[], object]]:
    """Forward and backward of a run's encoder, by who calls it."""
    model = build_stack([config_of(case, 0)], case.size.image_shape)
    sizes, stacked = model.family.sizes(case.size.image_shape), model.encoder
    assert isinstance(stacked, StackedNetwork)
    module, _ = case.modules(sizes)
    rows = torch.rand(1, case.size.batch, sizes.pixels)
    images, upstream = rows.view(-1, *sizes.shape), torch.rand(1, len(rows[0]), sizes.posterior)
    side, step = stacked.side, Noise((0,))
    of_run, of_stack = list(module.parameters()), list(stacked.parameters())

    def alone() -> torch.Tensor:
        return side.from_network(module(side.to_network(rows.squeeze(0)))).unsqueeze(0)

    return {
        "the module itself": lambda: torch.autograd.grad(module(images), of_run, upstream[0]),
        "by the suite": lambda: torch.autograd.grad(stacked(rows, step), of_stack, upstream),
        "so, tensors of its own": lambda: torch.autograd.grad(alone(), of_run, upstream),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, default="own module 64-128-8")
    parser.add_argument("--seconds", type=float, default=0.05, help="Of each in a round.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    register_networks()
    ways = passes(CASES[arguments.case])
    rounds = [[milliseconds(way, arguments.seconds) for way in ways.values()] for _ in range(16)]
    for name, times in zip(ways, zip(*rounds[1:], strict=True), strict=True):
        print(f"{name:24}{1e3 * statistics.median(times):8.1f}")


if __name__ == "__main__":
    main()
