"""The verdict on a claim: the worst of its statements, and what it was made of."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from vaebench.reproduction.expected import Expectation
from vaebench.reproduction.rule import Outcome, Verdict

WORST = (Verdict.NOT_REPRODUCED, Verdict.NOT_COMPARABLE, Verdict.REPRODUCED)
"""A claim has the first of these that one of its statements has."""


class Reproduction(Struct, frozen=True, kw_only=True):
    """A claim that was tried: its verdict, with the evidence in numbers and what it took."""

    claim: str
    title: str
    scale: str
    verdict: Verdict
    outcomes: tuple[Outcome, ...]
    expectations: tuple[Expectation, ...] = ()
    """Whether each statement gives what it gave before, whatever was published."""
    source: str
    differs: tuple[str, ...] = ()
    hub: str = ""
    runs: tuple[str, ...] = ()
    """The ids of the runs that it was judged by."""
    wall_s: float = 0.0
    """Seconds of all calls that trained for it, and those of processors."""
    processor_s: float = 0.0
    environment: dict[str, str] = {}
    date: str = ""


def overall(outcomes: Sequence[Outcome]) -> Verdict:
    """The verdict on a claim with these statements."""
    verdicts = {outcome.verdict for outcome in outcomes}
    return next(verdict for verdict in WORST if verdict in verdicts)


def in_words(outcome: Outcome) -> str:
    """One statement's verdict with its numbers, in a line."""
    if outcome.difference is None or outcome.low is None or outcome.high is None:
        return f"{outcome.says}: {outcome.verdict}: {outcome.reason}"
    span = f"{outcome.difference:+.3f} [{outcome.low:+.3f}, {outcome.high:+.3f}]"
    published = "" if outcome.published is None else f", published {outcome.published:.4g}"
    return (
        f"{outcome.says}: {outcome.verdict}: here {outcome.ours:.4g}{published}, difference "
        f"{span} over {len(outcome.values)} seeds, {outcome.reason}"
    )
