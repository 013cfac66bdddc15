"""Which lines of one observation space share a rank, and which are not compared at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vaebench.report.comparison import Contest
from vaebench.report.statistics.ranks import leaders
from vaebench.report.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

NONE = float("nan")


def grouped(contest: Contest) -> pd.DataFrame:
    """Add to the lines of one observation space, best first, the columns of `summarise` that say
    which of them are not told apart."""
    order, variants, family = contest.order, contest.variants, contest.family
    ranks = order["rank"].to_list()
    num = sum(rank == rank for rank in ranks)
    pairs = {(pair.worse.name, pair.better.name): pair for pair in family.pairs}
    verdicts = dict(zip(pairs, (one.verdict for one in family.judged), strict=True))

    def between(worse: int, better: int) -> Verdict:
        names = (variants[worse].name, variants[better].name)
        return verdicts.get(names, Verdict.NOT_COMPARED)

    def differ(worse: int, better: int) -> bool:
        return between(worse, better) == Verdict.DIFFER

    def compared(worse: int, better: int) -> bool:
        return between(worse, better) != Verdict.NOT_COMPARED

    def reason(worse: int, better: int) -> str:
        pair = pairs.get((variants[worse].name, variants[better].name))
        return pair.reason if pair else "one of them has no run with a seed"

    heads = leaders(num, differ, compared)
    left = len(order) - num
    uncompared = [_not_compared(i, heads, compared) for i in range(num)]
    table = order.assign(
        shares=[ranks[head] for head in heads] + [NONE] * left,
        verdict=[between(i, h).value if i != h else "" for i, h in enumerate(heads)] + [""] * left,
    )
    if all(better is None for better in uncompared):
        return table
    reasons = ["" if j is None else reason(i, j) for i, j in enumerate(uncompared)]
    return table.assign(
        not_compared=[NONE if j is None else ranks[j] for j in uncompared] + [NONE] * left,
        why_not=reasons + [""] * left,
    )


def _not_compared(
    line: int, heads: Sequence[int], compared: Callable[[int, int], bool]
) -> int | None:
    """The nearest better group whose first line was not compared with this one, which is the first
    of its own group; None where there is none, and for other lines."""
    better = sorted(set(heads[:line]), reverse=True) if heads[line] == line else []
    return next((head for head in better if not compared(line, head)), None)
