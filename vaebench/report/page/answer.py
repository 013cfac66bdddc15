"""The answer in words: what is best, what is not told apart from it, and what would settle that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vaebench.report.labels import display_names, some_of
from vaebench.report.sentences import sentence
from vaebench.report.spaces import SPACE, by_space
from vaebench.report.standings import RANKED_BY, mappings
from vaebench.report.tables import cell, reasons, title_of
from vaebench.report.verdicts import OPEN, Verdict

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 4
"""Variants that a sentence names."""

Line = dict[str, Any]
Seconds = Mapping[tuple[str, str], float]
"""The training time of a run, by observation space and name of its variant, where it is known."""


@dataclass(frozen=True)
class Answer:
    """What one observation space shows."""

    title: str
    warnings: Sequence[str]
    best: str
    """The sentence that answers."""
    evidence: Sequence[str]
    """What it rests on, and what would settle what is open."""


def answers(table: pd.DataFrame, pairs: pd.DataFrame, seconds: Seconds) -> list[Answer]:
    """Answer for each observation space of the summary, given `comparisons` of all pairs."""
    of_space = by_space(pairs)
    return [
        _answer(part, of_space.get(str(space), pairs.iloc[:0]), seconds)
        for space, part in table.groupby(SPACE, sort=True)
    ]


def _answer(part: pd.DataFrame, pairs: pd.DataFrame, seconds: Seconds) -> Answer:
    lines = dict(zip(display_names(part), mappings(part), strict=True))
    ranked = [name for name, line in lines.items() if line["rank"] == line["rank"]]
    warnings = list(_warnings(lines, ranked))
    if not ranked:
        return Answer(title_of(part), warnings, "No variant can be ranked.", [])
    best, *others = ranked
    if not others:
        alone = f"{best} alone can be ranked: {_score(lines[best])}."
        return Answer(title_of(part), warnings, alone, [*_costs(lines, best, [])])
    of_best = _below(best, pairs)
    tied = [name for name in others if _verdict(of_best, name) in OPEN]
    apart = [name for name in others if _verdict(of_best, name) == Verdict.DIFFER]
    named = [*tied[:MOST_NAMED], *apart[:1]]
    evidence = [f"{sentence(of_best[name])}." for name in named]
    evidence += _price([of_best[name] for name in named], part[SPACE].iloc[0], seconds)
    evidence += _costs(lines, best, tied)
    unknown = [name for name in others if name not in (*tied, *apart)]
    return Answer(title_of(part), warnings, _best(lines[best], best, tied, unknown), evidence)


def _below(best: str, pairs: pd.DataFrame) -> dict[str, Line]:
    """The pairs of the best, by the name of the other."""
    if pairs.empty:
        return {}
    return {line["worse"]: line for line in mappings(pairs[pairs["better"] == best])}


def _verdict(pairs: Mapping[str, Line], name: str) -> str:
    return str(pairs[name]["verdict"]) if name in pairs else ""


def _score(line: Line) -> str:
    return f"NLL {cell(line, RANKED_BY)} nats, {_count(line['done'], 'seed')}"


def _best(line: Line, best: str, tied: Sequence[str], unknown: Sequence[str]) -> str:
    """The answer; `unknown` are the variants that the best is not compared with."""
    score = _score(line)
    relations = {"told apart from": tied, "compared with": unknown}
    but = [f"not {how} {some_of(names, MOST_NAMED)}" for how, names in relations.items() if names]
    if but:
        return f"{best} has the best mean ({score}), but is {'; and '.join(but)}."
    return f"{best} is best: {score}."


def _count(num: int, noun: str) -> str:
    return f"{num} {noun}{'' if num == 1 else 's'}"


def _price(pairs: Sequence[Line], space: str, seconds: Seconds) -> Iterator[str]:
    """What the seeds would take that settle what is open, where that is known."""
    more = {
        line["worse"]: line["seeds_needed"] - line["num_seeds"]
        for line in pairs
        if line["verdict"] == Verdict.NOT_TOLD_APART and 0 < line["seeds_needed"] < math.inf
    }
    more = {name: num for name, num in more.items() if num > 0}
    if not more:
        return
    runs = more | {pairs[0]["better"]: max(more.values())}
    total = sum(num * seconds.get((space, name), math.nan) for name, num in runs.items())
    if total == total:
        yield (
            f"The further seeds named above are {sum(runs.values()):.0f} runs: about "
            f"{_duration(total)} of training, one after the other."
        )


def _duration(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} h"


def _costs(lines: Mapping[str, Line], best: str, tied: Sequence[str]) -> Iterator[str]:
    """How fast the best trains, and the fastest of those that are as good by all that is known."""
    speeds = {name: lines[name].get("examples_per_s_mean", math.nan) for name in (best, *tied)}
    if speeds[best] != speeds[best]:
        return
    yield f"{best} trains on {speeds[best]:,.0f} examples a second."
    fastest = max(speeds, key=lambda name: speeds[name] if speeds[name] == speeds[name] else 0.0)
    if fastest != best:
        ratio = speeds[fastest] / speeds[best]
        yield f"Of those not told apart, {fastest} is the fastest: {ratio:.2f} times as fast."


def _warnings(lines: Mapping[str, Line], ranked: Sequence[str]) -> Iterator[str]:
    """What the reader must know before the ranking: lost runs, one seed, and each reason not to
    trust what ranks, once."""
    lost = {name: line for name, line in lines.items() if line["done"] < line["runs"]}
    if lost:
        num = sum(line["runs"] - line["done"] for line in lost.values())
        yield (
            f"{_count(num, 'run')} diverged or failed, so these have no rank: "
            f"{some_of(list(lost), MOST_NAMED)}."
        )
    if any(lines[name]["done"] == 1 for name in ranked):
        yield "Some variants have one seed: that does not tell a variant from its luck."
    extents: dict[str, dict[str, str]] = {}
    for name in ranked:
        for reason, extent in reasons(lines[name], RANKED_BY):
            extents.setdefault(reason, {})[name] = extent
    for reason, of_names in extents.items():
        yield _doubt(reason, of_names, ranked)
    unequal = next(iter(lines.values())).get(f"{RANKED_BY}_unequal")
    if unequal is True:
        yield "The NLLs were made in different ways, so they are not ranked: grade the runs again."


def _doubt(reason: str, extents: Mapping[str, str], ranked: Sequence[str]) -> str:
    """One reason not to trust what ranks, with how many variants it holds of."""
    best = extents.get(ranked[0])
    of_best = "" if best is None else f", the best's{f' ({best})' if best else ''} too"
    num = f"{len(extents)} of {_count(len(ranked), 'variant')}"
    return f"{reason}: the NLL of {num} is doubted{of_best}."
