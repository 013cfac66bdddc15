"""All pairs of variants within an observation space -> a table of how they differ."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vaebench.core.errors import InputError, near_match
from vaebench.report.pairs import Family, Pair, family, pair
from vaebench.report.standings import RANKED_BY, Examples, Line, metric_lines, no_examples, ranked
from vaebench.report.statistics.crossed_design import ALPHA
from vaebench.report.statistics.power import detectable, effect_size, seeds_to_detect

if TYPE_CHECKING:
    import pandas as pd

DIFFER = "differ"
MAY_DIFFER = "may differ"
ALIKE = "do not differ"
ONE_SEED = "cannot be told apart by one seed"
NOT_COMPARED = "are not compared"
ENDINGS = ("worse_training", "better_training")
"""Columns of how the runs of the two ended, where any stopped early or kept its best weights."""


def comparisons(
    rows: pd.DataFrame,
    examples: Examples = no_examples,
    metric: str = RANKED_BY,
    margin: float | None = None,
    against: str | None = None,
) -> pd.DataFrame:
    """One line per pair of variants of an observation space: `worse` minus `better`, which are so
    named for their ranks.

    `difference` with its 95% interval `low` to `high`, over `num_seeds` and `num_examples` (NaN
    where only seeds are seen), in `unit`. `p` is the least level whose interval leaves 0 out,
    `p_holm` allows for all pairs of the space, as the first is known only from the same data; with
    `against`, a line named beforehand (its variant will do where no other line has it), for the
    pairs with it, which are then all that there are.
    `verdict`: "differ" where p_holm is at most 5%, "may differ" where only the pair's own interval
    leaves 0 out, "do not differ" else. `permutation_p`, `permutation_p_holm`: the sign-flip test
    over seeds. `effect_size`, `_low`, `_high`: Hedges' g. `detectable`: the smallest difference
    that these seeds detect with 80% power; `seeds_needed` to detect `sought`: the margin, or else
    the seen difference. `first`: whether it is a pair with `against`, or with the first. ENDINGS:
    how the runs of the two ended, where that is to be said.

    Raises InputError for a metric that no run has, a margin that is not above 0, an `against` that
    no observation space has or that several lines of one have, and two runs of a line and seed.
    """
    import pandas as pd

    unit = _unit(rows, metric)
    if margin is not None and not margin > 0.0:
        raise InputError(f"the margin must be above 0, in {unit}; got {margin}")
    told: list[dict[str, object]] = []
    names: set[str] = set()
    for space, order in ranked(rows):
        lines = metric_lines(rows[rows["observation_space"] == space], order, metric)
        names |= {name for line in lines for name in (line.name, line.variant)}
        reference = None if against is None else _reference(lines, against)
        if against is not None and reference is None:
            continue
        judged = families(lines, metric, examples, reference)
        told += [
            {"observation_space": space, "metric": metric, "unit": unit, **line}
            for line in _told(judged, lines, margin, reference)
        ]
    if against is not None and against not in names:
        raise InputError(f"no variant {against!r} to compare against; {near_match(against, names)}")
    table = pd.DataFrame(told)
    unsaid = [] if any(line[side] for line in told for side in ENDINGS) else ENDINGS
    return table.drop(columns=[*unsaid], errors="ignore")


def families(
    lines: Sequence[Line], metric: str, examples: Examples = no_examples, against: str | None = None
) -> Family:
    """The pairs of the lines of one observation space, in order of rank, judged together."""
    found = itertools.combinations([line for line in lines if line.runs or not line.complete], 2)
    return family(
        [
            pair(worse, better, metric, examples)
            for better, worse in found
            if against is None or against in (better.name, worse.name)
        ]
    )


def _reference(lines: Sequence[Line], against: str) -> str | None:
    """The name of the line that is meant: by its name, or by the variant that it alone has. None
    where there is none; raises InputError where there are several."""
    if any(line.name == against for line in lines):
        return against
    named = [line.name for line in lines if line.variant == against]
    if len(named) > 1:
        raise InputError(
            f"one variant must be named to compare against; {against!r} is each of "
            f"{' | '.join(named)}: give one of these in full"
        )
    return next(iter(named), None)


def verdict(own: Pair, p_holm: float) -> str:
    """What a pair shows, its family allowed for."""
    if own.spread is None:
        return NOT_COMPARED
    if own.spread.num_seeds < 2:
        return ONE_SEED
    low, high = own.ends
    apart = low > 0.0 or high < 0.0
    if apart and p_holm <= ALPHA:
        return DIFFER
    return MAY_DIFFER if apart else ALIKE


def _told(
    judged: Family, lines: Sequence[Line], margin: float | None, against: str | None
) -> list[dict[str, object]]:
    """The lines of the table of one observation space."""
    with_values = [line.name for line in lines if line.complete and line.runs]
    reference = against if against is not None else next(iter(with_values), "")
    corrected = zip(judged.pairs, judged.p, judged.permutation_p, strict=True)
    return [
        {
            "worse": own.worse.name,
            "better": own.better.name,
            "first": reference in (own.worse.name, own.better.name),
            "verdict": verdict(own, p),
            "reason": own.reason,
            **dict(zip(ENDINGS, (own.worse.training, own.better.training), strict=True)),
            **_sizes(own, margin),
            "p": own.p,
            "p_holm": p,
            "family": judged.size,
            "permutation_p": own.permutation_p,
            "permutation_p_holm": permutation_p,
        }
        for own, p, permutation_p in corrected
    ]


def _sizes(own: Pair, margin: float | None) -> dict[str, float]:
    """How large a pair's difference is, and what its seeds would detect; NaN where not compared."""
    nan = float("nan")
    spread, (low, high) = own.spread, own.ends
    if spread is None:
        difference = sought = needed = smallest = num_examples = nan
        effect = (nan, nan, nan)
    else:
        difference = float(spread.mean)
        num_examples = float(spread.num_examples) if spread.num_examples > 1 else nan
        sought = abs(difference) if margin is None else margin
        needed, smallest = seeds_to_detect(spread, sought), detectable(spread)
        effect = effect_size(own.differences)
    values = {"difference": difference, "low": low, "high": high}
    values |= {"num_seeds": float(len(own.differences)), "num_examples": num_examples}
    values |= dict(zip(("effect_size", "effect_low", "effect_high"), effect, strict=True))
    return values | {
        "margin": nan if margin is None else margin,
        "detectable": smallest,
        "sought": sought,
        "seeds_needed": needed,
    }


def _unit(rows: pd.DataFrame, metric: str) -> str:
    """The metric's unit. Raises InputError for one that no run has."""
    runs = rows[rows["seed"].notna()]
    own, num_runs = runs[runs["metric"] != ""], runs["run"].nunique()
    if own.empty and num_runs:
        raise InputError(
            f"a comparison needs runs that are done; all runs were lost: {num_runs} of {num_runs} "
            f"diverged or failed: their records say why"
        )
    known = set(own["metric"])
    if metric not in known:
        raise InputError(f"no metric {metric!r} that runs have; {near_match(metric, known)}")
    return str(own.loc[own["metric"] == metric, "unit"].iloc[0])
