"""Two variants on the same seeds and examples: their differences, and what these show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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

    @cached_property
    def p(self) -> float:
        """The p-value of no difference; NaN where nothing can be tested."""
        return float("nan") if self.spread is None else float(p_value(self.spread))

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The 95% interval of the difference; NaN where nothing can be tested."""
        if self.spread is None:
            return float("nan"), float("nan")
        low, high = ends(self.spread)
        return float(low), float(high)

    @cached_property
    def permutation_p(self) -> float:
        """The p-value of the sign-flip test over seeds."""
        tested = self.spread is not None and len(self.differences) > 1
        return float(sign_flip_p(self.differences)) if tested else float("nan")


@dataclass(frozen=True)
class Family:
    """Pairs that are judged together, with p-values that allow for how many they are."""

    pairs: Sequence[Pair]
    p: Array
    permutation_p: Array

    @property
    def size(self) -> int:
        """How many of them are tested."""
        return int(np.isfinite(self.p).sum())


def family(pairs: Sequence[Pair]) -> Family:
    """Judge pairs together, with Holm's correction over all of them."""
    p = np.array([pair.p for pair in pairs])
    permutation_p = np.array([pair.permutation_p for pair in pairs])
    return Family(pairs, holm(p), holm(permutation_p))


def pair(worse: Standing, better: Standing, metric: str, examples: Examples) -> Pair:
    """Pair two variants at the seeds that both have, by examples where these are kept.

    Not compared: a variant with a lost run, unequal fingerprints, no seed in common. Raises
    InputError for values of examples that are of another record.
    """
    seeds = sorted(set(worse.runs) & set(better.runs))
    runs = [(worse.runs[s], better.runs[s]) for s in seeds]
    d = np.array([a.value - b.value for a, b in runs])
    if reason := _refusal(worse, better, runs):
        return Pair(worse, better, d, None, reason)
    table = _by_example(runs, metric, examples)
    spread = over_seeds(d) if table is None else over_seeds_and_examples(table)
    return Pair(worse, better, d, spread)


def _refusal(worse: Standing, better: Standing, runs: Sequence[tuple[Run, Run]]) -> str:
    """Why two variants are not compared; "" where they are."""
    for one in (worse, better):
        if not one.complete:
            return f"{one.lost} ({one.name})"
    for a, b in runs:
        if a.fingerprint != b.fingerprint:
            return _unlike(worse, better, a.fingerprint, b.fingerprint)
    return "" if runs else "they have no seed with a value in common"


def _unlike(worse: Standing, better: Standing, of_worse: str, of_better: str) -> str:
    """In what two fingerprints differ; that of an earlier version is empty."""
    if of_worse and of_better:
        return f"their values were made in different ways (fingerprints {of_worse} and {of_better})"
    older = better.name if of_worse else worse.name
    return f"the values of {older} are of {EARLIER}: evaluate it again"


def _by_example(runs: Sequence[tuple[Run, Run]], metric: str, examples: Examples) -> Array | None:
    """The differences of all examples [S, N]; None where not every run has the same number."""
    values = [_kept(run, metric, examples) for both in runs for run in both]
    known = [of_run for of_run in values if of_run is not None]
    if len(known) < len(values) or len({len(of_run) for of_run in known}) > 1:
        return None
    return np.subtract(known[::2], known[1::2], dtype=float)


def _kept(run: Run, metric: str, examples: Examples) -> Array | None:
    """The values of a run's examples, where all are finite."""
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
