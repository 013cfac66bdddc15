"""Which lines of one observation space share a rank, and which are not compared at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vaebench.report.comparison import DIFFER, NOT_COMPARED, families, verdict
from vaebench.report.standings import RANKED_BY, Examples, metric_lines
from vaebench.report.statistics.ranks import leaders

if TYPE_CHECKING:
    import pandas as pd

NONE = float("nan")


def grouped(order: pd.DataFrame, rows: pd.DataFrame, examples: Examples) -> pd.DataFrame:
    """The lines of one observation space, best first, with the columns of `summarise` that say how
    they stand to one another."""
    lines = metric_lines(rows, order, RANKED_BY)
    ranks = order["rank"].to_list()
    num = sum(rank == rank for rank in ranks)
    judged = families(lines[:num], RANKED_BY, examples)
    pairs = {(pair.worse.name, pair.better.name): pair for pair in judged.pairs}
    verdicts = dict(zip(pairs, map(verdict, judged.pairs, judged.p), strict=True))

    def between(worse: int, better: int) -> str:
        return verdicts.get((lines[worse].name, lines[better].name), NOT_COMPARED)

    def differ(worse: int, better: int) -> bool:
        return between(worse, better) == DIFFER

    def compared(worse: int, better: int) -> bool:
        return between(worse, better) != NOT_COMPARED

    def reason(worse: int, better: int) -> str:
        pair = pairs.get((lines[worse].name, lines[better].name))
        return pair.reason if pair else "one of them has no run with a seed"

    heads = leaders(num, differ, compared)
    left = len(order) - num
    strangers = [_stranger(line, heads, compared) for line in range(num)]
    table = order.assign(
        shares=[ranks[head] for head in heads] + [NONE] * left,
        apart=[between(i, h) if i != h else "" for i, h in enumerate(heads)] + [""] * left,
        tied=[head == 0 and i > 0 for i, head in enumerate(heads)] + [False] * left,
    )
    if all(stranger is None for stranger in strangers):
        return table
    reasons = ["" if j is None else reason(i, j) for i, j in enumerate(strangers)]
    return table.assign(
        not_compared=[NONE if j is None else ranks[j] for j in strangers] + [NONE] * left,
        why_not=reasons + [""] * left,
    )


def _stranger(line: int, heads: Sequence[int], compared: Callable[[int, int], bool]) -> int | None:
    """The nearest of the better groups whose first the first of this line's own was not held
    against; None for a line that is not the first of its group."""
    better = sorted(set(heads[:line]), reverse=True) if heads[line] == line else []
    return next((head for head in better if not compared(line, head)), None)
