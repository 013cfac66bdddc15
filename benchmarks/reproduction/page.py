"""The page of all claims: their verdicts, what was found, and those that wait for a machine."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from vaebench.core.shown import duration
from vaebench.reproduction import Claim, Outcome, Reproduction, names, read_claim
from vaebench.reproduction.claim import ScaleName
from vaebench.reproduction.expected import expectations
from vaebench.reproduction.files import read_verdict, write_files

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "results" / "reference" / "reproduction"
PAGE = ROOT / "docs" / "reproduction.md"
HEAD = Path(__file__).with_name("head.md")
"""What the page says before its tables."""
EXPECTED_HEAD = Path(__file__).with_name("expected.md")
"""What it says of the expectations."""
FINDINGS = KEPT / "findings.toml"
"""By claim and scale, in words: what a verdict rests on, and why where it fails."""


def page() -> str:
    """The whole page in Markdown."""
    tried = verdicts()
    parts = table(tried), expected(tried), findings(tried), waiting(tried)
    return "\n".join([HEAD.read_text(), *itertools.chain(*parts), ""])


def verdicts() -> list[Reproduction]:
    """The verdicts that are kept, by claim and scale."""
    return [read_verdict(path) for path in sorted(KEPT.glob("*/verdict.json"))]


def renewed(done: Reproduction) -> Reproduction:
    """A verdict beside its claim as it is now: its words, and what is expected of the figures."""
    claim = read_claim(done.claim)
    expected = expectations(done.outcomes, claim.scale(cast(ScaleName, done.scale)).expected)
    words = {"title": claim.title, "source": claim.source, "differs": claim.differs}
    return replace(done, expectations=expected, **words)


def write() -> None:
    """Write the page, and the verdicts whose claims are not what they were."""
    for done in verdicts():
        if renewed(done) != done:
            write_files(KEPT / f"{done.claim}-{done.scale}", renewed(done))
    PAGE.write_text(page())


def table(tried: list[Reproduction]) -> Iterator[str]:
    """A line for each statement of each claim that was tried."""
    yield "## Verdicts\n"
    yield "| claim | statement | published | here | difference, 95% interval | seeds | verdict |"
    yield "|---|---|---|---|---|---|---|"
    for done in tried:
        for outcome in done.outcomes:
            yield f"| `{done.claim}`, {done.scale} | {_cells(outcome)} |"
    yield ""
    yield "What each took, with other work on the machine, so that processors count:\n"
    yield "| claim | wall time | processors | verdict |"
    yield "|---|---|---|---|"
    for done in tried:
        times = f"{duration(done.wall_s)} | {duration(done.processor_s)}"
        yield f"| {done.title}, {done.scale} | {times} | **{done.verdict}** |"
    machines = {f"{d.environment['processor']}, torch {d.environment['torch']}" for d in tried}
    yield f"\nOn: {'; '.join(sorted(machines))}.\n"


def _cells(outcome: Outcome) -> str:
    difference = "-"
    if outcome.difference is not None:
        difference = f"{outcome.difference:+.3f} [{outcome.low:+.3f}, {outcome.high:+.3f}]"
    numbers = (_number(outcome.published), _number(outcome.ours), difference)
    return " | ".join([outcome.says, *numbers, str(len(outcome.values)), f"**{outcome.verdict}**"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def expected(tried: list[Reproduction]) -> Iterator[str]:
    """A line for each statement of which it is recorded what it gave."""
    yield "## What the shorter schedules gave\n"
    yield EXPECTED_HEAD.read_text()
    yield "| claim | statement | seeds | recorded | expected, 95% | here | |"
    yield "|---|---|---|---|---|---|---|"
    for done in tried:
        for e in done.expectations:
            span = f"{_number(e.low)} to {_number(e.high)}"
            numbers = (str(e.num_seeds), _number(e.recorded), span, _number(e.ours))
            met = "met" if e.met else "**not met**"
            yield f"| {' | '.join([f'`{done.claim}`', e.says, *numbers, met])} |"
    yield ""


def findings(tried: list[Reproduction]) -> Iterator[str]:
    """What was found, and what is not as published, claim by claim."""
    words = tomllib.loads(FINDINGS.read_text()) if FINDINGS.is_file() else {}
    yield "## What was found\n"
    for done in tried:
        yield f"### {done.title} ({done.scale})\n"
        yield f"Source: {done.source}.\n"
        if text := words.get(f"{done.claim}-{done.scale}"):
            yield f"{text.strip()}\n"
        yield from _not_as_published(read_claim(done.claim), done.scale)


def _not_as_published(claim: Claim, scale: str) -> Iterator[str]:
    if claim.differs:
        yield f"Not as published, at `full` too: {'; '.join(claim.differs)}.\n"
    if scale == "cpu" and claim.cpu is not None and claim.cpu.set:
        settings = ", ".join(f"`{setting}`" for setting in claim.cpu.set)
        yield f"Set for `cpu` on top of that: {settings}.\n"


def waiting(tried: list[Reproduction]) -> Iterator[str]:
    """A line for each claim at a scale without a verdict."""
    have = {(done.claim, done.scale) for done in tried}
    yield "## Claims that wait\n"
    yield "`vaebench reproduce --list` says what each costs on the machine that it is called on.\n"
    yield "| claim | scale | what | source | needs |"
    yield "|---|---|---|---|---|"
    for claim in map(read_claim, names()):
        for scale in claim.scales:
            if (claim.name, scale) not in have:
                cells = (f"`{claim.name}`", scale, claim.title, claim.source, _needs(claim))
                yield f"| {' | '.join(cells)} |"


def _needs(claim: Claim) -> str:
    return f"the suite lacks {claim.lacks}" if claim.lacks else claim.needs or "time"


if __name__ == "__main__":
    write()
