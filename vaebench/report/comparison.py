"""Rows -> a table of how the variants of an observation space differ, a line per pair."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vaebench.core.errors import InputError, near_match
from vaebench.report.pairs import Array, Family, Judged, is_worse, of_each, pair
from vaebench.report.standings import (
    RANKED_BY,
    Examples,
    Standing,
    no_examples,
    ranked,
    standings,
    used,
)
from vaebench.report.statistics.permutation import holm
from vaebench.report.statistics.power import detectable, effect_size, seeds_to_detect
from vaebench.results import UNITS

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = ("worse_training", "better_training")
"""Columns of how the runs of the two ended, where any stopped early or kept its best weights."""


@dataclass(frozen=True)
class Contest:
    """An observation space: its lines, best first, and all pairs of these in what ranks."""

    space: str
    order: pd.DataFrame
    variants: Sequence[Standing]
    family: Family


def contests(rows: pd.DataFrame, examples: Examples = no_examples) -> list[Contest]:
    """Pair the variants of each observation space; `rows`: see `standings.used`."""
    by_space = dict(iter(rows[rows["metric"] == RANKED_BY].groupby("observation_space")))
    every = []
    for space, order in ranked(rows):
        variants = standings(by_space.get(space, rows.iloc[:0]), order, RANKED_BY)
        every.append(Contest(space, order, variants, judged(variants, RANKED_BY, examples)))
    return every


def all_pairs(every: Sequence[Contest]) -> pd.DataFrame:
    """`comparisons` of all pairs in what ranks, which are paired already."""
    unit, higher_is_better = UNITS[RANKED_BY]
    return _table(
        [
            {"observation_space": one.space, "metric": RANKED_BY, "unit": unit, **line}
            for one in every
            for line in _lines(one.family, one.variants, None, None, higher_is_better)
        ]
    )


def comparisons(
    rows: pd.DataFrame,
    examples: Examples = no_examples,
    metric: str = RANKED_BY,
    margin: float | None = None,
    against: str | None = None,
) -> pd.DataFrame:
    """Compare all pairs of variants of each observation space, a line per pair: `worse` minus
    `better`, which are so named for their ranks.

    `difference` with its 95% interval `low` to `high`, over `num_seeds` and `num_examples` (NaN
    where only seeds are seen), in `unit`. `p` is the least level whose interval leaves 0 out,
    `p_holm` allows for all pairs of the space, as the first is known only from the same data; with
    `against`, a line named beforehand (its variant will do where no other line has it), for the
    pairs with it, which are then all that there are.
    `verdict`: "differ" where p_holm is at most 5%, "may differ" where only the pair's own interval
    leaves 0 out, "are not told apart" else; see `Verdict` for the other two. `permutation_p`,
    `permutation_p_holm`: the sign-flip test over seeds. `effect_size`, `_low`, `_high`: Hedges' g.
    `detectable`: the smallest difference that these seeds detect with 80% power; `seeds_needed` to
    detect `sought`: the margin, or else the seen difference. `first`: whether it is a pair with
    `against`, or with the first. `is_worse`, with `against` alone: whether the other one is worse
    than it by more than the margin, see `pairs.is_worse`. ENDINGS: how the runs of the two ended,
    where that is to be said.

    Raises InputError for a metric that no run has, a margin below 0, an `against` that
    no observation space has or that several lines of one have, and two runs of a line and seed.
    """
    unit = _unit(rows, metric)
    if margin is not None and not margin >= 0.0:
        raise InputError(f"the margin must be a number from 0 on, in {unit}; got {margin}")
    table: list[dict[str, object]] = []
    names: set[str] = set()
    higher_is_better = direction(rows, metric)
    rows = used(rows, {RANKED_BY, metric})
    for space, order in ranked(rows):
        variants = standings(rows[rows["observation_space"] == space], order, metric)
        names |= {name for one in variants for name in (one.name, one.variant)}
        by_name = {one.name: one.variant for one in variants}
        reference = None if against is None else line_of(by_name, against)
        if against is not None and reference is None:
            continue
        pairs = judged(variants, metric, examples, reference)
        table += [
            {"observation_space": space, "metric": metric, "unit": unit, **line}
            for line in _lines(pairs, variants, margin, reference, higher_is_better)
        ]
    if against is not None and against not in names:
        raise InputError(f"no variant {against!r} to compare against; {near_match(against, names)}")
    return _table(table)


def judged(
    variants: Sequence[Standing],
    metric: str,
    examples: Examples = no_examples,
    against: str | None = None,
) -> Family:
    """Compare the pairs of one observation space's variants, in order of rank, as one family."""
    known = [one for one in variants if one.runs or not one.complete]
    return Family(
        [
            pair(worse, better, metric, examples)
            for better, worse in itertools.combinations(known, 2)
            if against is None or against in (better.name, worse.name)
        ]
    )


def line_of(variants: Mapping[str, str], against: str) -> str | None:
    """The name of the line that is meant, by its name in tables, or by the variant that it alone
    has. `variants`: those of all lines, by name. None where there is none; raises InputError where
    there are several."""
    if against in variants:
        return against
    named = [name for name, variant in variants.items() if variant == against]
    if len(named) > 1:
        raise InputError(
            f"one variant must be named to compare against; {against!r} is each of "
            f"{' | '.join(named)}: give one of these in full"
        )
    return next(iter(named), None)


def _table(lines: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Lines as a table; without ENDINGS where no line has any."""
    import pandas as pd

    without_endings = not any(line[side] for line in lines for side in ENDINGS)
    dropped = ENDINGS if without_endings else ()
    return pd.DataFrame(lines).drop(columns=[*dropped], errors="ignore")


def _lines(
    family: Family,
    variants: Sequence[Standing],
    margin: float | None,
    against: str | None,
    higher_is_better: bool | None,
) -> list[dict[str, object]]:
    """The lines of the table of one observation space."""
    with_values = [one.name for one in variants if one.complete and one.runs]
    reference = against if against is not None else next(iter(with_values), "")
    columns = measured(family, margin or None)  # of 0, every difference matters
    numbers = zip(*columns.values(), strict=True)
    return [
        {
            "worse": one.pair.worse.name,
            "better": one.pair.better.name,
            "first": reference in (one.pair.worse.name, one.pair.better.name),
            "verdict": one.verdict.value,
            "reason": one.pair.reason,
            **_falls_short(one, against, higher_is_better, margin or 0.0),
            **dict(zip(ENDINGS, (one.pair.worse.training, one.pair.better.training), strict=True)),
            **dict(zip(columns, of_pair, strict=True)),
        }
        for one, of_pair in zip(family.judged, numbers, strict=True)
    ]


def measured(family: Family, margin: float | None) -> dict[str, Array]:
    """The numbers of each pair [pairs] by column of `comparisons`; NaN where not compared."""
    return _sizes(family, margin) | {
        "p": family.p,
        "p_holm": family.p_holm,
        "family": np.full(len(family.pairs), family.size),
        "permutation_p": family.permutation_p,
        "permutation_p_holm": holm(family.permutation_p),
    }


def _sizes(family: Family, margin: float | None) -> dict[str, Array]:
    """How large the difference of each pair is, and what its seeds would detect, by column; NaN
    where not compared."""
    pairs, (low, high) = family.pairs, family.ends
    difference = of_each(pairs, lambda _, spread: spread.mean)
    sought = np.abs(difference) if margin is None else difference * 0.0 + margin
    effect = of_each(pairs, lambda d, _: np.stack(effect_size(d)), 3)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "num_seeds": np.array([float(len(pair.differences)) for pair in pairs]),
        "num_examples": of_each(pairs, lambda _, spread: _several(spread.num_examples)),
        **dict(zip(("effect_size", "effect_low", "effect_high"), effect, strict=True)),
        "margin": np.full(len(pairs), np.nan if margin is None else margin),
        "detectable": of_each(pairs, lambda _, spread: detectable(spread)),
        "sought": sought,
        "seeds_needed": of_each(
            pairs,
            lambda _, spread: seeds_to_detect(
                spread, np.abs(spread.mean) if margin is None else margin
            ),
        ),
    }


def _falls_short(
    one: Judged, against: str | None, higher_is_better: bool | None, margin: float
) -> dict[str, bool]:
    """The column that says whether the other one of a pair is worse than the variant `against`;
    none where no variant was named."""
    if against is None:
        return {}
    pair = one.pair
    reference = pair.better if pair.better.name == against else pair.worse
    return {"is_worse": is_worse(one, reference, higher_is_better, margin)}


def direction(rows: pd.DataFrame, metric: str) -> bool | None:
    """Whether higher values of the metric are better, as its rows say where it is not one of the
    suite's; None where neither is."""
    if metric in UNITS:
        return UNITS[metric][1]
    known = rows.loc[rows["metric"] == metric, "higher_is_better"].dropna()
    return bool(known.iloc[0]) if len(known) else None


def _several(num: int) -> float:
    """A number of examples; NaN where none are seen."""
    return float(num) if num > 1 else float("nan")


def _unit(rows: pd.DataFrame, metric: str) -> str:
    """The metric's unit. Raises InputError for one that no run has."""
    of_runs = rows["seed"].notna()
    known = set(rows.loc[of_runs, "metric"].unique()) - {""}
    num_runs = 0 if known else rows.loc[of_runs, "run"].nunique()
    if num_runs:
        raise InputError(
            f"a comparison needs runs that are done; all runs were lost: {num_runs} of {num_runs} "
            f"diverged or failed: their records say why"
        )
    if metric not in known:
        raise InputError(f"no metric {metric!r} that runs have; {near_match(metric, known)}")
    return str(rows.loc[of_runs & (rows["metric"] == metric), "unit"].iloc[0])
