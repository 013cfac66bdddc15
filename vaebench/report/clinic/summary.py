"""What the rules say of the runs of a folder, a line for each variant and thing that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaebench.report.clinic.case import Case, Finding
from vaebench.report.labels import display_names
from vaebench.report.spaces import SPACE
from vaebench.report.standings import Examples
from vaebench.results import Record

if TYPE_CHECKING:
    import pandas as pd

Name = tuple[str, str]
"""The title of an observation space, and the name of a variant in it."""


@dataclass(frozen=True)
class Complaint:
    """What is wrong with runs of a variant."""

    title: str
    variant: str
    name: str
    extent: str
    """In how many of its runs."""
    evidence: str
    """That of the first of them."""
    advice: str


def complaints(
    records: Iterable[Record],
    examples: Examples,
    names: Mapping[str, Name],
    explain: Callable[[Case], list[Finding]],
) -> list[Complaint]:
    """Gather what is wrong with runs: the same things of one variant together, in the order of the
    names. Runs without a name are left out."""
    firsts: dict[tuple[Name, str], Finding] = {}
    counts: Counter[tuple[Name, str]] = Counter()
    for record in records:
        if record.run in names:
            for finding in explain(Case(record, examples(record.run))):
                firsts.setdefault((names[record.run], finding.name), finding)
                counts[names[record.run], finding.name] += 1
    num_runs, places = Counter(names.values()), {n: i for i, n in enumerate(names.values())}
    return [
        Complaint(
            *name, what, _extent(counts[name, what], num_runs[name]), one.evidence, one.advice
        )
        for (name, what), one in sorted(firsts.items(), key=lambda item: places[item[0][0]])
    ]


def _extent(num: int, of: int) -> str:
    return f"{num} of {of} run{'' if of == 1 else 's'}"


def names_of(runs: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, Name]:
    """The names of runs, a row each, by their ids."""
    names: dict[str, Name] = {}
    for space, part in runs.groupby(SPACE, sort=True):
        title = titles[str(space)]
        of_space = zip(part["run"], display_names(part), strict=True)
        names |= {run: (title, name) for run, name in of_space}
    return names
