"""Whether the statistics of `vaebench compare` hold what they say: `nox -s statistics` calls this.

Simulated studies of seeds x examples, whose truth is known, through the functions of the report.
Coverage of the 95% interval; false positives far in the tail, which Holm's correction reads; any
false "differ" among all pairs of seven variants, and among those with one named beforehand; and how
often a difference is detected that is said to be in four of five studies.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vaebench.report.statistics.crossed_design import (
    ALPHA,
    Spread,
    ends,
    over_seeds,
    over_seeds_and_examples,
    p_value,
)
from vaebench.report.statistics.permutation import holm, sign_flip_p
from vaebench.report.statistics.power import POWER, detectable

Array = NDArray[np.float64]
Hits = NDArray[np.bool_] | np.bool_
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

SEEDS = (2, 3, 4, 5, 10)
NUM_EXAMPLES = 200
SHARES = (0.0, 0.02, 0.1, 0.3, 0.5, 0.8, 1.0)
"""Shares of the squared standard error that examples cause."""
REST = 0.1
"""The share of the squared standard error that neither seeds nor examples explain, on top."""
NUM_VARIANTS = 7
TAIL = ALPHA / 21
CHUNK = 500
"""Studies in memory at a time."""


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mean 0, variance 1."""
    return generator.standard_normal(shape)


def skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mean 0, variance 1, skewness 2."""
    return generator.exponential(size=shape) - 1.0


DISTRIBUTIONS: dict[str, tuple[Draw, Draw]] = {
    "normal": (normal, normal),
    "skewed examples": (normal, skewed),
    "skewed seeds": (skewed, normal),
}
"""How the effects of seeds are distributed, and those of examples."""


def truth(num_seeds: int, share: float) -> Spread:
    """The spread whose squared standard error is 1, and 1 + REST with the rest."""
    return Spread(
        np.array(0.0), np.array(1 - share + REST), np.array(share), num_seeds, NUM_EXAMPLES
    )


def studies(
    generator: np.random.Generator, shape: tuple[int, ...], true: Spread, draws: tuple[Draw, Draw]
) -> Array:
    """Tables [*shape, S, N] of mean 0 with the effects of the true spread."""
    seeds, examples = true.num_seeds, true.num_examples
    of_seeds = float(true.of_seeds - REST) * seeds
    a = of_seeds**0.5 * draws[0](generator, (*shape, seeds, 1))
    b = (float(true.of_examples) * examples) ** 0.5 * draws[1](generator, (*shape, 1, examples))
    rest = (REST * seeds * examples) ** 0.5 * normal(generator, (*shape, seeds, examples))
    return np.asarray(a + b + rest)


def joined(spreads: list[Spread]) -> Spread:
    """Chunks of studies as one."""
    first = spreads[0]
    means, of_seeds, of_examples = (
        np.concatenate([getattr(s, name) for s in spreads])
        for name in ("mean", "of_seeds", "of_examples")
    )
    return Spread(means, of_seeds, of_examples, first.num_seeds, first.num_examples)


def simulated(true: Spread, draws: tuple[Draw, Draw], num: int, variants: int = 0) -> Spread:
    """The spreads of `num` studies [num]; of all pairs of several variants [num, pairs]."""
    generator = np.random.default_rng(true.num_seeds * 1000 + int(100 * true.share))
    spreads = []
    for _ in range(0, num, CHUNK):
        shape = (CHUNK, variants) if variants else (CHUNK,)
        table = studies(generator, shape, true, draws)
        if variants:
            scale = np.geomspace(1.0, 4.0, variants)[:, None, None]  # some vary more than others
            a, b = np.array(list(itertools.combinations(range(variants), 2))).T
            table = (scale * table)[:, a] - (scale * table)[:, b]
        spreads.append(over_seeds_and_examples(table))
    return joined(spreads)


def row(
    what: str, of: Spread, share: float, distribution: str, hits: Hits, expected: float
) -> dict[str, object]:
    """One measured rate with its standard error."""
    rate = float(hits.mean())
    return {
        "what": what,
        "num_seeds": of.num_seeds,
        "num_examples": of.num_examples,
        "share_of_examples": share,
        "distribution": distribution,
        "rate": rate,
        "standard_error": (rate * (1 - rate) / hits.size) ** 0.5,
        "expected": expected,
        "studies": hits.size,
    }


def single(
    num_seeds: int, share: float, distribution: str, num: int
) -> Iterator[dict[str, object]]:
    """Coverage, the tail and power of one pair."""
    true = truth(num_seeds, share)
    spread = simulated(true, DISTRIBUTIONS[distribution], num)
    low, high = ends(spread)
    yield row("coverage", true, share, distribution, (low <= 0) & (high >= 0), 1 - ALPHA)
    yield row("tail", true, share, distribution, p_value(spread) <= TAIL, TAIL)
    shift = detectable(true)
    yield row("detected", true, share, distribution, (low + shift > 0) | (high + shift < 0), POWER)


def families(num_seeds: int, share: float, num: int) -> Iterator[dict[str, object]]:
    """Any false "differ" of several variants without a difference."""
    true = truth(num_seeds, share)
    p = p_value(simulated(true, DISTRIBUTIONS["normal"], num, NUM_VARIANTS))
    yield row("any of all pairs", true, share, "normal", (holm(p) <= ALPHA).any(-1), ALPHA)
    against = p[:, : NUM_VARIANTS - 1]  # the pairs with the first variant
    yield row(
        "any against one named", true, share, "normal", (holm(against) <= ALPHA).any(-1), ALPHA
    )


def seeds_alone(num_seeds: int, num: int) -> Iterator[dict[str, object]]:
    """Coverage and false positives where only means are known, and those of the exact test."""
    generator = np.random.default_rng(num_seeds)
    values = generator.standard_normal((num, NUM_VARIANTS, num_seeds))
    a, b = np.array(list(itertools.combinations(range(NUM_VARIANTS), 2))).T
    d = values[:, a] - values[:, b]
    spread = over_seeds(d)
    low, high = ends(spread)
    yield row(
        "coverage", spread, 0.0, "normal, no examples", ((low <= 0) & (high >= 0))[:, 0], 1 - ALPHA
    )
    differs = (holm(p_value(spread)) <= ALPHA).any(-1)
    yield row("any of all pairs", spread, 0.0, "normal, no examples", differs, ALPHA)
    exact = sign_flip_p(d)
    yield row("sign-flip test", spread, 0.0, "normal, no examples", exact[:, 0] <= ALPHA, ALPHA)
    differs = (holm(exact) <= ALPHA).any(-1)
    yield row("any of all pairs, sign-flip", spread, 0.0, "normal, no examples", differs, ALPHA)


def measured(num: int) -> Iterator[dict[str, object]]:
    """All rows."""
    for num_seeds, share, distribution in itertools.product(SEEDS, SHARES, DISTRIBUTIONS):
        yield from single(num_seeds, share, distribution, num)
    for num_seeds, share in itertools.product(SEEDS, SHARES):
        yield from families(num_seeds, share, num // 5)
    for num_seeds in SEEDS:
        yield from seeds_alone(num_seeds, num)


def table(rows: pd.DataFrame) -> str:
    """The least and the largest rate of each kind by seeds, over the shares of the examples."""
    grouped = rows.groupby(["what", "distribution", "num_seeds"], sort=False)["rate"]
    ranges = grouped.agg(lambda rates: f"{100 * rates.min():.2f} to {100 * rates.max():.2f}")
    wide = ranges.unstack("num_seeds").reset_index()
    expected = rows.groupby("what")["expected"].first().map(lambda rate: f"{100 * rate:.2f}")
    wide.insert(2, "expected", wide["what"].map(expected))
    wide.columns = [f"{c} seeds" if isinstance(c, int) else str(c) for c in wide.columns]
    error = 100 * rows["standard_error"].max()
    return (
        "Rates in %, the least and the largest over how the variance is shared by seeds and "
        f"{NUM_EXAMPLES} examples. One standard error is at most {error:.2f}.\n\n"
        f"{wide.to_markdown(index=False, disable_numparse=True)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/statistics"))
    parser.add_argument("--studies", type=int, default=10_000)
    arguments = parser.parse_args()
    rows = pd.DataFrame(measured(arguments.studies))
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(arguments.out / "coverage.csv", index=False)
    (arguments.out / "table.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
