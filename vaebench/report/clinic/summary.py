"""What the rules say of the runs of a folder, a line for each variant and thing that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaebench.report.clinic.case import Finding
from vaebench.report.labels import display_names
from vaebench.report.spaces import SPACE

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
    findings: Mapping[str, Sequence[Finding]], names: Mapping[str, Name]
) -> list[Complaint]:
    """Gather what is wrong with runs: the same things of one variant together, in the order of the
    names. Runs without a name are left out."""
    firsts: dict[tuple[Name, str], Finding] = {}
    counts: Counter[tuple[Name, str]] = Counter()
    for run, wrong in findings.items():
        for finding in wrong if run in names else ():
            firsts.setdefault((names[run], finding.name), finding)
            counts[names[run], finding.name] += 1
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
