"""Submissions -> a line for each of their variants, ranked within its division."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.league.entered import enter
from vaebench.league.submission import Submission
from vaebench.report.spaces import SPACE, TITLE, titles
from vaebench.report.standings import KEYS, Examples
from vaebench.report.tables import COLUMNS, summarise

if TYPE_CHECKING:
    import pandas as pd

LEFT_OUT = ("step_time_ratio",)
"""Columns of a report that are of one timing pass: submissions have passes of their own."""


@dataclass(frozen=True)
class Standings:
    """The table of a league, with what it was made of."""

    submissions: Sequence[Submission]
    rows: pd.DataFrame
    """Every figure of every run that was entered."""
    examples: Examples
    table: pd.DataFrame
    """A report's columns, and of each line: `place` and `submission`, the number and the name of
    its submission; `decoder_evaluations`, what the training of a run took; and `figures`, whether
    they were made again here."""


def standings(submissions: Sequence[Submission]) -> Standings:
    """The lines of all divisions: ranks with ties, figures, and the cost of each."""
    entered = enter(submissions)
    rows = results.frame(entered.records, set(COLUMNS) - {*LEFT_OUT})
    table = summarise(rows, entered.examples)
    firsts = {
        record.labels.observation_space: record
        for record in sorted(entered.records, key=lambda record: record.status == "done")
        if record.labels.seed is not None
    }
    table.insert(1, TITLE, table[SPACE].map(titles(firsts)))
    lines = [tuple(line) for line in table[KEYS].itertuples(index=False, name=None)]
    places = [entered.submission_of[line] for line in lines]
    table = table.assign(
        place=places,
        submission=[submissions[place].name for place in places],
        decoder_evaluations=[entered.evaluations.get(line, float("nan")) for line in lines],
        figures=[submissions[place].graded for place in places],
    )
    return Standings(submissions, rows, entered.examples, table)
