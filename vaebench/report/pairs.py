"""Two variants on the same seeds and examples: their differences, and what these show."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaebench.core.errors import InputError
from vaebench.report.standings import Examples, Run, Standing
from vaebench.report.statistics.crossed_design import (
    Spread,
    ends,
    over_seeds,
    over_seeds_and_examples,
    p_value,
)
from vaebench.report.statistics.permutation import holm, sign_flip_p
from vaebench.report.verdicts import Verdict, verdict

Array = NDArray[np.float64]

EARLIER = "an earlier version, without a fingerprint"
"""What made the values that have no fingerprint."""
SAME_MEAN = 1e-3
"""Values of examples belong to a record where their mean is as near, in parts of 1 or the value."""


@dataclass(frozen=True)
class Pair:
    """One variant minus a better one."""

    worse: Standing
    better: Standing
    differences: Array  # [S], by the seeds that both have
    spread: Spread | None
    """None where the two are not compared."""
    reason: str = ""
    """Why not."""


@dataclass(frozen=True)
class Family:
    """Pairs that are judged together, with p-values that allow for how many they are."""

    pairs: Sequence[Pair]

    @property
    def size(self) -> int:
        """How many of them are tested."""
        return int(np.isfinite(self.p).sum())

    @cached_property
    def p(self) -> Array:
        """The p-values of no difference, each alone; NaN where nothing can be tested."""
        return of_each(self.pairs, lambda _, spread: p_value(spread))

    @cached_property
    def p_holm(self) -> Array:
        """The same, with Holm's correction over all pairs."""
        return holm(self.p)

    @cached_property
    def ends(self) -> Array:
        """The 95% intervals of the differences [2, pairs]; NaN where nothing can be tested."""
        return of_each(self.pairs, lambda _, spread: np.stack(ends(spread)), 2)

    @cached_property
    def permutation_p(self) -> Array:
        """The p-values of the sign-flip test over seeds; NaN for one seed."""
        return of_each(self.pairs, lambda d, _: sign_flip_p(d) if d.shape[-1] > 1 else np.nan)

    @cached_property
    def judged(self) -> list[Judged]:
        """What each pair shows, once the family is allowed for."""
        nums = [0 if pair.spread is None else pair.spread.num_seeds for pair in self.pairs]
        return [
            Judged(pair, low, high, p, verdict(low, high, num=num, p=p))
            for pair, low, high, p, num in zip(
                self.pairs, *self.ends.tolist(), self.p_holm.tolist(), nums, strict=True
            )
        ]


@dataclass(frozen=True)
class Judged:
    """A pair, the 95% interval of its difference, and what that shows."""

    pair: Pair
    low: float
    high: float
    p_holm: float
    """The p-value of no difference, once the family is allowed for."""
    verdict: Verdict


def is_worse(
    judged: Judged, reference: Standing, higher_is_better: bool | None, margin: float
) -> bool:
    """Whether the other one of a pair is worse than the reference.

    That is where they "differ" and the end of the interval that is nearer to 0 is beyond the
    margin, on the side that is not wanted; and where it lost a larger part of its runs. Metrics
    without a direction say nothing.
    """
    other_first = reference is judged.pair.better
    other = judged.pair.worse if other_first else judged.pair.better
    if other.share_lost > reference.share_lost:
        return True
    if judged.verdict is not Verdict.DIFFER or higher_is_better is None:
        return False
    low, high = (judged.low, judged.high) if other_first else (-judged.high, -judged.low)
    return high < -margin if higher_is_better else low > margin


def of_each(
    pairs: Sequence[Pair], function: Callable[[Array, Spread], ArrayLike], *leading: int
) -> Array:
    """A function of the differences [pairs, S] and their spread [pairs], for each pair: [*leading,
    pairs]; NaN for those that are not compared.

    Pairs of as many seeds and examples are handed to it together, which takes a tenth of the time.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for i, pair in enumerate(pairs):
        if pair.spread is not None:
            size = pair.spread.num_seeds, pair.spread.num_examples
            alike.setdefault(size, []).append(i)
    result = np.full((*leading, len(pairs)), np.nan)
    for places in alike.values():
        result[..., places] = function(*_together([pairs[i] for i in places]))
    return result


def _together(pairs: Sequence[Pair]) -> tuple[Array, Spread]:
    """The differences [pairs, S] and the spread [pairs] of pairs of one size."""
    spreads = [pair.spread for pair in pairs if pair.spread is not None]
    mean, of_seeds, of_examples = (
        np.array([getattr(one, name) for one in spreads])
        for name in ("mean", "of_seeds", "of_examples")
    )
    first = spreads[0]
    spread = Spread(mean, of_seeds, of_examples, first.num_seeds, first.num_examples)
    return np.array([pair.differences for pair in pairs]), spread


def pair(worse: Standing, better: Standing, metric: str, examples: Examples) -> Pair:
    """Pair two variants at the seeds that both have, by examples where these are kept.

    Not compared: a variant with a lost run, unequal fingerprints, no seed in common. Raises
    InputError for values of examples that are of another record.
    """
    if worse.seeds == better.seeds:  # as is usual: nothing of their runs is gone through
        seeds, d = worse.seeds, worse.values - better.values
    else:
        seeds = sorted(set(worse.runs) & set(better.runs))
        d = np.array([worse.runs[s].value - better.runs[s].value for s in seeds])
    if reason := _refusal(worse, better, seeds):
        return Pair(worse, better, d, None, reason)
    runs = ((worse.runs[s], better.runs[s]) for s in seeds)
    table = _by_example(runs, metric, examples)
    spread = over_seeds(d) if table is None else over_seeds_and_examples(table)
    return Pair(worse, better, d, spread)


def _refusal(worse: Standing, better: Standing, seeds: Sequence[int]) -> str:
    """Why two variants are not compared; "" where they are."""
    for one in (worse, better):
        if not one.complete:
            return f"{one.lost} ({one.name})"
    if len(worse.fingerprints | better.fingerprints) > 1:
        for a, b in ((worse.runs[s], better.runs[s]) for s in seeds):
            if a.fingerprint != b.fingerprint:
                return _unlike(worse, better, a.fingerprint, b.fingerprint)
    return "" if seeds else "they have no seed with a value in common"


def _unlike(worse: Standing, better: Standing, of_worse: str, of_better: str) -> str:
    """In what two fingerprints differ; that of an earlier version is empty."""
    if of_worse and of_better:
        return f"their values were made in different ways (fingerprints {of_worse} and {of_better})"
    older = better.name if of_worse else worse.name
    return f"the values of {older} are of {EARLIER}: evaluate it again"


def _by_example(runs: Iterable[tuple[Run, Run]], metric: str, examples: Examples) -> Array | None:
    """The differences of all examples [S, N]; None where not every run has the same number."""
    known: list[Array] = []
    for run in itertools.chain.from_iterable(runs):
        values = kept_values(run, metric, examples)
        if values is None or len(values) != len(known[0] if known else values):
            return None
        known.append(values)
    return np.subtract(known[::2], known[1::2], dtype=float)


def kept_values(run: Run, metric: str, examples: Examples) -> Array | None:
    """The values of a run's examples [N], where all are finite. Raises InputError where their mean
    is not the recorded value."""
    values = examples(run.name).get(metric)
    if values is None or not np.isfinite(values).all():
        return None
    mean = float(np.mean(values, dtype=float))
    if abs(mean - run.value) > SAME_MEAN * max(1.0, abs(run.value)):
        raise InputError(
            f"the {metric} of a run's examples must have its recorded mean {run.value:.6g}; those "
            f"of run {run.name} have {mean:.6g}: evaluate it again"
        )
    return values
