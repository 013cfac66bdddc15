"""Put the brief reference table into the README, between its markers: `nox -s reference` runs this.

The wide table, with all columns and footnotes, is results/reference/digits/table.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vaebench.core.shown import markdown
from vaebench.report.tables import printable

START, END = "<!-- table: start -->", "<!-- table: end -->"
REFERENCE = Path("results/reference/digits")
METRICS = ("nll", "elbo", "rate", "active_units", "step_time_ratio")
NOT_SHOWN = ["likelihood", "seeds"]
"""Columns of the wide table that are the same in every line of this one."""


def brief(table: pd.DataFrame) -> Iterator[str]:
    """Seven columns of a report's summary as Markdown, each observation space by itself."""
    for space, part in table.groupby("observation_space", sort=True):
        (title,), (likelihood,), (seeds,) = (set(part[c]) for c in ("title", "likelihood", "done"))
        lines = printable(part, METRICS).drop(columns=NOT_SHOWN).map(markdown)
        yield f"**{title}**; `{likelihood}`, {seeds} seeds (recorded as `{space}`):"
        yield lines.to_markdown(index=False, disable_numparse=True)


def brief_table(folder: Path) -> str:
    """The brief tables of a report's folder, and what they were made with."""
    *_, made_with = (folder / "table.md").read_text().strip().splitlines()
    return "\n\n".join([*brief(pd.read_csv(folder / "table.csv")), made_with])


def with_table(readme: str, table: str) -> str:
    """The README with the table between its markers replaced."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{table.strip()}\n\n{END}{after}"


if __name__ == "__main__":
    readme = Path("README.md")
    readme.write_text(with_table(readme.read_text(), brief_table(REFERENCE)))
