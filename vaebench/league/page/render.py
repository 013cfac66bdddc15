"""Submissions -> one HTML page that loads nothing, by the report's own statistics and tables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from vaebench import results
from vaebench.core.errors import InputError
from vaebench.league.entered import Entered, enter
from vaebench.league.submission import Submission
from vaebench.report.comparison import comparisons
from vaebench.report.labels import display_names
from vaebench.report.page.html import environment, policy, template
from vaebench.report.page.rankings import Cell, Column, Ranking, rankings
from vaebench.report.spaces import SPACE, TITLE, titles
from vaebench.report.standings import KEYS, RANKED_BY
from vaebench.report.tables import COLUMNS, summarise

if TYPE_CHECKING:
    import pandas as pd

PAGE = "index.html"
MILLION = 1e6
LEFT_OUT = ("step_time_ratio",)
"""Columns of a report that are of one timing pass: submissions have passes of their own."""
COST = Column("decoder evaluations (millions)", words="lower is cheaper")
GRADED = Column("figures")


@dataclass(frozen=True)
class Entry:
    """What the page says of a submission."""

    name: str
    file: str
    sha256: str
    graded: str
    facts: Mapping[str, str]


def write_page(
    submissions: Sequence[Submission], out: Path, refused: Sequence[InputError] = ()
) -> Path:
    """Write the page of a league to a folder, and give its path.

    Raises InputError where there is no place to write, or a part of the suite is missing.
    """
    results.writable(out)
    page = render(submissions, [str(error) for error in refused])
    results.write_atomically(out / PAGE, page.encode())
    return out / PAGE


def render(submissions: Sequence[Submission], refused: Sequence[str] = ()) -> str:
    """The page as HTML. `refused`: what was left out, with the reason."""
    script = template("tables.js")
    return (
        environment("vaebench.league.page")
        .get_template("league.html")
        .render(
            policy=policy([script]),
            style=Markup(template("page.css")),
            script=Markup(script),
            rankings=tables(submissions),
            entries=[_entry(submission) for submission in submissions],
            refused=refused,
        )
    )


def tables(submissions: Sequence[Submission]) -> list[Ranking]:
    """The rankings of all divisions: ranks with ties, figures, and the cost of each line."""
    entered = enter(submissions)
    rows = results.frame(entered.records, set(COLUMNS) - {*LEFT_OUT})
    table = summarise(rows, entered.examples)
    firsts = {
        record.labels.observation_space: record
        for record in sorted(entered.records, key=lambda record: record.status == "done")
        if record.labels.seed is not None
    }
    table.insert(1, TITLE, table[SPACE].map(titles(firsts)))
    shown = []
    for space, part in table.groupby(SPACE, sort=True):
        names = display_names(part)
        lines = [tuple(line) for line in part[KEYS].itertuples(index=False, name=None)]
        places = {
            (space, name): entered.submission_of[line]
            for name, line in zip(names, lines, strict=True)
        }
        above = _above_first(rows[rows[SPACE] == space], names[0], entered)
        (ranking,) = rankings(part, above, None, places)
        shown.append(_with_cost(ranking, lines, entered, submissions))
    return shown


def _above_first(rows: pd.DataFrame, first: str, entered: Entered) -> pd.DataFrame:
    """`comparisons` of a division with its first line; empty without a figure that ranks."""
    if not (rows["metric"] == RANKED_BY).any():
        return rows.iloc[:0]
    return comparisons(rows, entered.examples, against=first)


def _with_cost(
    ranking: Ranking,
    lines: Sequence[tuple[str, ...]],
    entered: Entered,
    submissions: Sequence[Submission],
) -> Ranking:
    """A ranking with two more columns, after that of the difference to the best: what training
    took, and whether the figures were made again here."""
    at = 2 + next(i for i, one in enumerate(ranking.columns) if one.heading.startswith("NLL"))
    rows = []
    for row, line in zip(ranking.rows, lines, strict=True):
        num = entered.evaluations.get(line, float("nan"))
        cost = Cell("" if num != num else f"{num / MILLION:,.3g}", num)
        submission = submissions[row.variant]
        graded = Cell(submission.graded, submission.graded, submission.reason)
        rows.append(replace(row, cells=[*row.cells[:at], cost, graded, *row.cells[at:]]))
    columns = [*ranking.columns[:at], COST, GRADED, *ranking.columns[at:]]
    return replace(ranking, columns=columns, rows=rows)


def _entry(submission: Submission) -> Entry:
    manifest, records = submission.manifest, submission.records
    lost = sum(record.status != "done" for record in records)
    facts = {
        "runs": f"{len(records)}{f', {lost} of them lost' if lost else ''}",
        "studies": ", ".join(manifest.studies),
        "data": "; ".join(f"{name} {' '.join(ways)}" for name, ways in manifest.data.items()),
        "made with": "; ".join(
            ", ".join(f"{name} {value}" for name, value in one.items())
            for one in manifest.environments
        ),
        "plugins": ", ".join(manifest.plugins),
    }
    graded = f"{submission.graded}{f': {submission.reason}' if submission.reason else ''}"
    digest = hashlib.sha256(submission.path.read_bytes()).hexdigest()
    shown = {name: words for name, words in facts.items() if words}
    return Entry(submission.name, submission.path.name, digest, graded, shown)
