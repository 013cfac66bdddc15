"""Standings -> one HTML page that loads nothing, by the report's own statistics and tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from vaebench import results
from vaebench.core.errors import InputError
from vaebench.league.standings import Standings
from vaebench.league.submission import Submission
from vaebench.report.comparison import comparisons
from vaebench.report.labels import display_names
from vaebench.report.page.html import environment, policy, template
from vaebench.report.page.rankings import Cell, Column, Ranking, rankings
from vaebench.report.spaces import SPACE
from vaebench.report.standings import RANKED_BY, Examples

if TYPE_CHECKING:
    import pandas as pd

PAGE = "index.html"
MILLION = 1e6
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


def write_page(standings: Standings, out: Path, refused: Sequence[InputError] = ()) -> Path:
    """Write the page of a league to a folder, and give its path.

    Raises InputError where there is no place to write, or a part of the suite is missing.
    """
    results.writable(out)
    page = render(standings, [str(error) for error in refused])
    results.write_atomically(out / PAGE, page.encode())
    return out / PAGE


def render(standings: Standings, refused: Sequence[str] = ()) -> str:
    """The page as HTML. `refused`: what was left out, with the reason."""
    script = template("tables.js")
    return (
        environment("vaebench.league.page")
        .get_template("league.html")
        .render(
            policy=policy([script]),
            style=Markup(template("page.css")),
            script=Markup(script),
            rankings=tables(standings),
            entries=[_entry(submission) for submission in standings.submissions],
            refused=refused,
        )
    )


def tables(standings: Standings) -> list[Ranking]:
    """The rankings of all divisions as the page shows them."""
    rows, shown = standings.rows, []
    for space, part in standings.table.groupby(SPACE, sort=True):
        names = display_names(part)
        places = {(space, name): place for name, place in zip(names, part["place"], strict=True)}
        above = _above_first(rows[rows[SPACE] == space], names[0], standings.examples)
        (ranking,) = rankings(part, above, None, places)
        shown.append(_with_cost(ranking, part["decoder_evaluations"], standings.submissions))
    return shown


def _above_first(rows: pd.DataFrame, first: str, examples: Examples) -> pd.DataFrame:
    """`comparisons` of a division with its first line; empty without a figure that ranks."""
    if not (rows["metric"] == RANKED_BY).any():
        return rows.iloc[:0]
    return comparisons(rows, examples, against=first)


def _with_cost(
    ranking: Ranking, evaluations: Iterable[float], submissions: Sequence[Submission]
) -> Ranking:
    """A ranking with two more columns, after that of the difference to the best: what training
    took, and whether the figures were made again here."""
    at = 2 + next(i for i, one in enumerate(ranking.columns) if one.heading.startswith("NLL"))
    rows = []
    for row, num in zip(ranking.rows, evaluations, strict=True):
        cost = Cell("" if num != num else f"{num / MILLION:,.3g}", num)
        submission = submissions[row.variant]
        graded = Cell(submission.graded, submission.graded, submission.reason)
        rows.append(replace(row, cells=[*row.cells[:at], cost, graded, *row.cells[at:]]))
    columns = [*ranking.columns[:at], COST, GRADED, *ranking.columns[at:]]
    return replace(ranking, columns=columns, rows=rows)


def _entry(submission: Submission) -> Entry:
    manifest, lost = submission.manifest, submission.num_lost
    facts = {
        "runs": f"{len(submission.records)}{f', {lost} of them lost' if lost else ''}",
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
