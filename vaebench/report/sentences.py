"""A table of comparisons -> sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vaebench.report.standings import mappings, text
from vaebench.report.statistics.crossed_design import ALPHA
from vaebench.report.statistics.permutation import least_p
from vaebench.report.training import endings
from vaebench.report.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("better", "worse")


def in_words(table: pd.DataFrame) -> list[str]:
    """Say in a sentence per variant of `comparisons` how it differs from the best of its
    observation space (or from the one that was named), and then what the verdicts rest on."""
    if table.empty:
        return ["there is nothing to compare: no observation space has two variants"]
    sentences: list[str] = []
    for space, part in table.groupby("observation_space", sort=True):
        lines = mappings(part)
        sentences += [f"{space}: {sentence(line)}" for line in lines if line["first"]]
        sentences += [f"{space}: {note}" for note in [*_endings(lines), *notes(lines)]]
    return sentences


def _endings(lines: list[dict[str, Any]]) -> list[str]:
    """Which of the variants stopped early, or kept other weights than the last."""
    sides = [(line[side], text(line, f"{side}_training")) for line in lines for side in SIDES]
    return endings(dict(sides))


def sentence(line: dict[str, Any]) -> str:
    """One pair: the verdict, the difference with its interval, and what would settle it."""
    who = f"{line['worse']} and {line['better']} {line['verdict']}{_equivalence(line)} in "
    if line["verdict"] == Verdict.NOT_COMPARED:
        return f"{who}{line['metric']}: {line['reason']}"
    seen = f"{who}{line['metric']} (difference {_amount(line['difference'], line['unit'])}"
    if line["verdict"] == Verdict.ONE_SEED:
        return f"{seen})"
    interval = f"95% interval {line['low']:.3g} to {line['high']:.3g}, {_counts(line)}"
    return f"{seen}, {interval}{_corrected(line)}{_settled(line)})"


def _amount(value: float, unit: str) -> str:
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {unit}"


def _equivalence(line: dict[str, Any]) -> str:
    """That the difference is below the margin, where the whole interval is."""
    margin, reach = line["margin"], max(abs(line["low"]), abs(line["high"]))
    if not reach < margin:  # also without a margin, which is NaN
        return ""
    within = f"by less than {_amount(margin, line['unit'])}"
    if line["verdict"] == Verdict.NOT_TOLD_APART:
        return f", and differ {within},"
    return f" {within}"


def _counts(line: dict[str, Any]) -> str:
    seeds = f"{line['num_seeds']:.0f} seeds"
    examples = line["num_examples"]
    return seeds if examples != examples else f"{seeds} x {examples:.0f} examples"


def _corrected(line: dict[str, Any]) -> str:
    """Why an interval without 0 is no verdict."""
    if line["verdict"] != Verdict.MAY_DIFFER:
        return ""
    return f"; p = {line['p_holm']:.2g} once all {line['family']} comparisons are allowed for"


def _settled(line: dict[str, Any]) -> str:
    """How many more seeds would detect what is sought; "" where that is no question."""
    needed, sought = line["seeds_needed"], f"{line['sought']:.2g}"
    if line["verdict"] != Verdict.NOT_TOLD_APART or _equivalence(line) or needed != needed:
        return ""
    if needed == float("inf"):
        return f"; more seeds alone would not detect {sought}"
    more = needed - line["num_seeds"]
    if more > 0:
        return f"; {more:.0f} more seed{'s' if more > 1 else ''} would detect {sought}"
    return f"; {needed:.0f} seeds detect {sought} in 4 of 5 studies"


def notes(lines: list[dict[str, Any]]) -> Iterator[str]:
    """What the verdicts of one family of pairs rest on, and where they rest on little."""
    tested = [line for line in lines if line["p"] == line["p"]]
    if not tested:
        return
    size = tested[0]["family"]
    if size > 1:
        yield (
            f'"differ" allows for {size} comparisons (Holm): where none differs, at most 5% of '
            "studies say so of any"
        )
    seeds = int(min(line["num_seeds"] for line in tested))
    least = least_p(seeds)
    if least * size > ALPHA:
        allowed = "" if least > ALPHA else f" with {size} comparisons"
        yield (
            f"{seeds} seeds are too few for an exact sign-flip test, which cannot go below p = "
            f"{least if least > ALPHA else least * size:.2g}{allowed}: the verdicts rest on "
            "Student's t, for seeds whose effects are near normal"
        )
    doubted = [
        f"{line['worse']} and {line['better']}"
        for line in tested
        if line["verdict"] == Verdict.DIFFER and line["permutation_p"] > ALPHA >= least
    ]
    if doubted:
        yield f"the sign-flip test over seeds, alone, does not confirm: {'; '.join(doubted)}"
